"""Carries out the faults of a schedule on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import anyio

from jobkit.client.layouts import Layouts
from jobkit.client.schedule_row import schedule_of
from jobkit.lab.servers.proxy import Proxy
from jobkit.model.clock import SystemClock, machine_time
from jobkit.model.partition import Partition
from jobkit.model.pause import Scope
from jobkit.ops.topology import repartition
from jobkit.ports.inspection import Inspection
from jobkit.ports.planes import Planes
from tests.campaign.answered import answered
from tests.campaign.cluster import Cluster, Seat, Way
from tests.campaign.names import TYPE
from tests.campaign.schedule import SLOW_ROUND_TRIP_SECONDS, TICK_SECONDS, TICKING, Fault, Schedule

# Other numbers of partitions than the one that a campaign begins with.
_MANY, _FEW = 11, 5
_TICK_POLL_SECONDS = 0.02


async def make_trouble(cluster: Cluster, schedule: Schedule) -> None:
    """Carry out all faults, each alone and then those that come together, and return once all are over."""
    for fault in schedule.alone:
        await _carry_out(cluster, fault)
        await anyio.sleep(schedule.scale.calm)
    async with anyio.create_task_group() as troubles:
        for fault in schedule.together:
            troubles.start_soon(_carry_out_in_time, cluster, fault)


async def _carry_out_in_time(cluster: Cluster, fault: Fault) -> None:
    await anyio.sleep(fault.at)
    await _carry_out(cluster, fault)


async def _carry_out(cluster: Cluster, fault: Fault) -> None:
    cluster.note(f"begins: {fault}")
    begun = machine_time()
    await _apply(cluster, fault)
    cluster.note(f"is over: {fault}")
    if fault.forgets:
        cluster.losses.append((begun, machine_time()))


async def _apply(cluster: Cluster, fault: Fault) -> None:
    match fault.kind, fault.worker, fault.plane:
        case "kill the worker", int(seat), None:
            cluster.kill(cluster.seats[seat])
        case "stop the worker for a while", int(seat), None:
            with cluster.seats[seat].stopped():
                await anyio.sleep(fault.seconds)
        case "kill who fires, at a tick", None, None:
            for seat in await _who_fires(cluster):
                cluster.kill(seat)
        case "stop who fires, at a tick", None, None:
            with ExitStack() as stopped:
                for seat in await _who_fires(cluster):
                    stopped.enter_context(seat.stopped())
                await anyio.sleep(fault.seconds)
        case "restart the server", None, str(plane):
            await cluster.servers.restart(plane)
        case "kill the server", None, str(plane):
            await cluster.servers.kill(plane)
        case "forget everything", None, "coordinator":
            await cluster.servers.prune()
        case "restart the server without its data", None, "broker" | "coordinator" as plane:
            await cluster.servers.restart_empty(plane)
        case "restart broker and coordinator without their data", None, None:
            await cluster.servers.restart_both_empty()
        case "pause the work", None, None:
            await _rest(cluster.site.planes.inspection, fault.seconds)
        case "change the number of partitions", None, None:
            await _split_anew(cluster.site.planes, cluster.types, fault.seconds)
        case "slow every round trip", None, None:
            ways = [way for seat in cluster.seats for way in seat.ways.values()]
            await _trouble(ways, lambda proxy: proxy.delay(SLOW_ROUND_TRIP_SECONDS / 2), fault.seconds)
        case kind, int(seat), str(plane):
            await _trouble([cluster.seats[seat].ways[plane]], _ON_WAYS[kind], fault.seconds)
        case _:
            raise AssertionError(f"nobody knows how to make this: {fault}")


async def _who_fires(cluster: Cluster) -> list[Seat]:
    """Return the workers that fire schedules, as soon as one of them has fired the next tick."""
    fired = await _last_tick(cluster)
    with anyio.move_on_after(2 * TICK_SECONDS):
        while await _last_tick(cluster) == fired:  # noqa: ASYNC110  (other processes set no event here)
            await anyio.sleep(_TICK_POLL_SECONDS)
    leases = await answered(lambda: cluster.site.planes.coordinator.leases("leader/"))
    first = {Partition(type, 0).resource for type in cluster.types}
    owners = [lease.owner for lease in leases if lease.resource in first]
    return [seat for seat in cluster.seats if any(f":{seat.process.pid}:" in owner for owner in owners)]


async def _last_tick(cluster: Cluster) -> float | None:
    kept = await answered(lambda: cluster.site.planes.inspection.schedule(TICKING))
    return None if kept is None else schedule_of(kept).decided


async def _rest(inspection: Inspection, seconds: float) -> None:
    """Pause all jobs for a while, as a person does: again where the store does not answer."""
    scope = Scope(TYPE)
    await answered(lambda: inspection.pause(scope, by="campaign", reason="for a while"))
    await anyio.sleep(seconds)
    await answered(lambda: inspection.resume(scope))


async def _split_anew(planes: Planes, types: Sequence[str], seconds: float) -> None:
    """Ask for more partitions, and after a while for fewer again, however far it has come by then."""
    layouts = Layouts(planes.store, 1, SystemClock())
    await answered(lambda: repartition(layouts, types, _MANY))
    await anyio.sleep(seconds)
    await answered(lambda: repartition(layouts, types, _FEW))


_ON_WAYS: dict[str, Callable[[Proxy], None]] = {
    "cut the way": Proxy.hold,
    "cut the way there": lambda proxy: proxy.hold("up"),
    "cut the way back": lambda proxy: proxy.hold("down"),
    "reset the connections": Proxy.cut,
    "refuse connections": Proxy.refuse,
}


async def _trouble(ways: list[Way], make: Callable[[Proxy], None], seconds: float) -> None:
    with ExitStack() as made:
        for way in ways:
            made.enter_context(way.trouble(make))
        await anyio.sleep(seconds)
