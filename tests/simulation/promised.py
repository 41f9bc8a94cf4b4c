"""What a run is to come to, once all is over: worked out from what was submitted and what people were told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jobkit.ports.inspection import JobState
from simulation.events import Claimed
from simulation.expectation import Expectation
from simulation.groups import Settled
from simulation.notices import NOTICE
from simulation.schedule import Schedule
from simulation.timetable import Ticks
from simulation.work import BEGINS, LOOSE, MAX_ATTEMPTS, ORDERED, PAIR, Order
from simulation.world import World


async def expectation_of(world: World, schedule: Schedule) -> Expectation:
    """Work it out. What was replaced meanwhile is noted as cancelled in the world."""
    accepted = await _accepted(world)
    expired = await _expired(world)
    committing = [
        order for order in accepted if order.id not in {**world.cancelled, **expired} and not order.work.rejected
    ]
    settled = Settled(world.cancelled, dead={order.id for order in world.orders if order.work.rejected})
    for order in committing:
        if order.work.group:
            settled.add(order.id, order.work)
    in_groups = [id for then, members in settled.members.items() for id in (*members.ids, then)]
    ticks = world.timetable.ticks() if world.timetable is not None else []
    due = {order.id: world.started + order.after + order.later for order in world.orders if not order.foreign}
    for one in ticks:
        due |= {id: world.loop_time(at) for id, at in one.at.items()}
    return Expectation(
        accepted=[
            *(order.id for order in accepted),
            *follow_ups(committing),
            *dict.fromkeys(in_groups),
            *await _fired(world, ticks),
            *[job.id for job in await world.backend.inspection.jobs(type=NOTICE, limit=100_000)],
        ],
        dead=frozenset(settled.dead),
        groups=settled.members,
        expired=expired,
        notifying=world.notifying,
        notify={order.id: order.notify for order in world.orders if order.notify},
        ordered_types=frozenset({ORDERED}),
        max_failures=MAX_ATTEMPTS,
        forgetting=schedule.retention is not None,
        cancelled=world.cancelled,
        heard_within=schedule.heard_within,
        submitted=[order.id for order in world.orders] if schedule.plain else (),
        partitions=world.settings.partitions,
        keys={order.id: (order.type, order.work.key) for order in world.orders} | settled.keys,
        due=due,
        ticks=ticks,
        at_once={LOOSE: PAIR.count} if world.limited else {},
        begins={LOOSE: (BEGINS.count, BEGINS.per.total_seconds())} if world.limited else {},
    )


def follow_ups(orders: Iterable[Order]) -> list[str]:
    """Return the ids of the jobs that these submit as they commit."""
    return [f"{order.id}.{number}" for order in orders for number in range(order.work.follow)]


async def _fired(world: World, ticks: Sequence[Ticks]) -> list[str]:
    """Return the ids of the jobs that have come of ticks, of all that were to fire."""
    ids = [id for one in ticks for id in one.at]
    return [id for id in ids if await world.backend.inspection.job(id) is not None]


async def _expired(world: World) -> dict[str, int | None]:
    """Return those that did not begin in time, with their sequences."""
    jobs = [await world.backend.inspection.job(order.id) for order in world.orders if order.expires]
    return {job.id: job.sequence for job in jobs if job is not None and job.state is JobState.EXPIRED}


async def _accepted(world: World) -> list[Order]:
    """Return the orders that were accepted; of those that were replaced since, note that they are cancelled."""
    claims = [event for event in world.history.events if isinstance(event, Claimed)]
    for id in [claim.replaced for claim in claims if claim.replaced is not None]:
        job = await world.backend.inspection.job(id)
        world.cancelled.setdefault(id, job.sequence if job else None)
    holding = {claim.job for claim in claims if claim.kept is None}
    return [order for order in world.orders if order.unique is None or order.id in holding]
