"""What the doctor has each plane do, to see whether it can.

What a probe writes it takes back. It does not raise: what goes wrong is its finding. One plane that is in trouble does
not hide the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TypeVar

import anyio

from jobkit.backends.registry import open_blobs, open_broker, open_coordinator, open_store
from jobkit.errors import JobkitError, Unavailable
from jobkit.model.blob import BlobSpace
from jobkit.model.clock import Clock
from jobkit.model.fence import Fence
from jobkit.model.ids import new_nonce, new_owner
from jobkit.model.layout import Layout
from jobkit.model.plane import Plane
from jobkit.ops.diagnosis.published_types import published_types
from jobkit.ops.diagnosis.schedules import schedules
from jobkit.plugin.registry import Registry
from jobkit.ports.backend import Opening
from jobkit.ports.blobs import Blobs
from jobkit.ports.broker import Broker
from jobkit.ports.coordinator import Coordinator, Granted, LeaseRef
from jobkit.ports.diagnosis import Finding, Status, failure
from jobkit.ports.inspection import Inspection
from jobkit.ports.limits import LimitInfo
from jobkit.ports.store import Store
from jobkit.settings import Settings

T = TypeVar("T")

# For opening a plane, and again for what it is asked.
_LIMIT_SECONDS = 10.0
_PROBE_LEASE_SECONDS = 10.0
# An accepted job that is not published after this long has no worker to publish it.
_OUTBOX_PATIENCE_SECONDS = 60.0
# A job that is due and not released after this long has no worker to release it.
_DUE_PATIENCE_SECONDS = 30.0
_WALL_TOLERANCE_SECONDS = 5.0
_FOREVER_SECONDS = 1e12
# Of limits that jobs wait for, those with most.
_LIMITS_SHOWN = 5


async def probe_planes(
    settings: Settings,
    clock: Clock,
    in_trouble: Collection[Plane],
    absent: Collection[Plane],
    registry: Registry | None = None,
) -> list[Finding]:
    """Open each plane, ask it something and have it write something; of the store, what it knows of the `registry`.

    That one of `in_trouble` does not open is known, and not said again. What is `absent` has nothing to be asked.
    """
    findings: list[Finding] = []

    async def opened(plane: Plane, open: Callable[[Settings, Opening], Awaitable[T]]) -> T | None:
        if plane in absent:
            return None
        found = await _answer(plane, open(settings, opening))
        if not isinstance(found, Finding):
            return found
        if plane not in in_trouble:
            findings.append(replace(found, part=plane.value))
        return None

    async def probed(plane: Plane, probing: Awaitable[list[Finding]]) -> None:
        found = await _answer(plane, probing)
        several = [found] if isinstance(found, Finding) else found
        findings.extend(replace(finding, part=finding.part or plane.value) for finding in several)

    async with AsyncExitStack() as stack:
        opening = Opening(clock, stack, create=False)
        blobs = await opened(Plane.BLOBS, open_blobs)
        store = await opened(Plane.STORE, open_store)
        coordinator = await opened(Plane.COORDINATOR, open_coordinator)
        broker = await opened(Plane.BROKER, open_broker)
        if broker:
            await probed(Plane.BROKER, _broker(broker, coordinator))
        if coordinator:
            await probed(Plane.COORDINATOR, _coordinator(coordinator))
        if store:
            await probed(Plane.STORE, _store(*store, clock, settings))
            await probed(Plane.STORE, _schedules(store[1], coordinator))
            if registry is not None:
                await probed(Plane.STORE, published_types(store[1], registry))
        if store and coordinator:
            await probed(Plane.COORDINATOR, _coordinators(coordinator, store[1], settings))
        if blobs:
            await probed(Plane.BLOBS, _blobs(blobs))
    return findings


async def _answer(plane: Plane, asking: Awaitable[T]) -> T | Finding:
    """Return what is asked for, or the finding that it fails."""
    try:
        with anyio.fail_after(_LIMIT_SECONDS):
            return await asking
    except TimeoutError:
        error: Exception = Unavailable(plane, f"no answer within {_LIMIT_SECONDS:g} s")
    except (JobkitError, OSError) as raised:
        error = raised
    away = isinstance(error, Unavailable)
    change = f"see that it runs, and that {plane.variable} names it" if away else ""
    return replace(failure(error), change=change)


async def _broker(broker: Broker, coordinator: Coordinator | None) -> list[Finding]:
    depths = await broker.depths()
    declared = Counter(depth.partition.type for depth in depths)
    waiting: Counter[str] = Counter()
    for depth in depths:
        waiting[depth.partition.type] += depth.ready
    what = f"answers; {sum(waiting.values())} messages wait in the queues of {len(declared)} job types"
    findings = [Finding(Status.OK, what)]
    served = await _served(coordinator, declared)
    for type in sorted(declared):
        if waiting[type] and type not in served:
            idle = f"{waiting[type]} messages of {type} wait, and no live worker serves it"
            findings.append(Finding(Status.WARN, idle, f"jobkit worker {type}"))
    return findings


async def _served(coordinator: Coordinator | None, declared: Collection[str]) -> set[str]:
    """Return the job types that live workers serve; all, where there is no telling."""
    try:
        members = await coordinator.members() if coordinator else None
    except Unavailable:
        # Its own probe says so.
        members = None
    return set(declared) if members is None else {type for member in members for type in member.types}


async def _coordinator(coordinator: Coordinator) -> list[Finding]:
    resource = "doctor"
    nonce = new_nonce()
    answer = await coordinator.claim(resource, owner=new_owner(), nonce=nonce, ttl=_PROBE_LEASE_SECONDS)
    members = await coordinator.members()
    workers = f"{len(members)} live workers"
    if not isinstance(answer, Granted):
        return [Finding(Status.OK, f"answers (another doctor holds the test lease); {workers}")]
    lease = LeaseRef(resource, answer.token, nonce)
    kept = lease in await coordinator.renew([lease], ttl=_PROBE_LEASE_SECONDS)
    freed = await coordinator.release(lease)
    if not (kept and freed):
        return [Finding(Status.FAIL, "it lost a lease at once", "look for what makes it forget: memory, eviction")]
    return [Finding(Status.OK, f"grants, renews and releases leases; {workers}"), *await _limits(coordinator)]


async def _limits(coordinator: Coordinator) -> list[Finding]:
    """Tell which limits keep jobs waiting that workers have in hand, and how far each of them is used up."""
    waiting: Counter[str] = Counter()
    for one in await coordinator.waiting():
        waiting[one.bucket] += one.number
    if not waiting:
        return []
    shown = []
    for bucket, number in waiting.most_common(_LIMITS_SHOWN):
        full = [info.used for info in await coordinator.limits(bucket, limit=1) if _is_used_up(info, bucket)]
        shown.append(f"{bucket} ({number} jobs" + (f", all {full[0]} of it are used)" if full else ")"))
    more = f" and {len(waiting) - _LIMITS_SHOWN} more" if len(waiting) > _LIMITS_SHOWN else ""
    total, named = sum(waiting.values()), ", ".join(shown)
    return [Finding(Status.OK, f"{total} jobs in workers' hands wait for limits: {named}{more}; see jobkit limits")]


def _is_used_up(info: LimitInfo, bucket: str) -> bool:
    return info.limit.bucket == bucket and info.used >= info.limit.count


async def _coordinators(coordinator: Coordinator, inspection: Inspection, settings: Settings) -> list[Finding]:
    identity = await coordinator.identity()
    noted = await inspection.coordinators(within=2 * settings.lease_ttl)
    if any(other != identity for other in noted):
        what = "workers on this store keep their leases at another coordinator"
        return [Finding(Status.FAIL, what, f"make {Plane.COORDINATOR.variable} the same here and for all workers")]
    return []


async def _store(store: Store, inspection: Inspection, clock: Clock, settings: Settings) -> list[Finding]:
    # Nothing is old enough to go, so this only shows that the store takes a write.
    await inspection.prune(older_than=_FOREVER_SECONDS, keep_at_most=1 << 53, batch=1)
    counts = await inspection.counts()
    jobs = ", ".join(f"{number} {state.value}" for state, number in counts.jobs.items() if number) or "no jobs"
    findings = [Finding(Status.OK, f"answers and takes writes; {jobs}")]
    if counts.dead:
        findings.append(Finding(Status.WARN, f"{counts.dead} dead letters", "jobkit dead list"))
    if counts.parked:
        findings.append(Finding(Status.WARN, f"{counts.parked} jobs are parked", "jobkit gaps list"))
    for pause in await store.pauses():
        since = f"{max(0.0, clock.wall() - pause.since) / 3600:.1f} h ago by {pause.by}"
        what = f"paused {since}: {pause.scope}" + (f" ({pause.reason})" if pause.reason else "")
        findings.append(Finding(Status.WARN, what, "jobkit resume, when it is time"))
    if await store.outbox(older_than=_OUTBOX_PATIENCE_SECONDS, limit=1):
        late = f"accepted jobs have waited for over {_OUTBOX_PATIENCE_SECONDS:g} s to be published"
        findings.append(Finding(Status.WARN, late, "start a worker, and look at its log"))
    findings += [_differing(type, layout, settings) for type, layout in _unlike(await store.layouts(), settings)]
    for job in await inspection.overdue(limit=1):
        if (seconds := clock.wall() - (job.due_at or 0)) > _DUE_PATIENCE_SECONDS:
            overdue = f"job {job.id} of {job.type} was due {seconds:.0f} s ago, and nobody has released it"
            findings.append(Finding(Status.WARN, overdue, "start a worker of any type, and look at its log"))
    latest = await inspection.jobs(limit=1)
    if latest and latest[0].submitted_at > clock.wall() + _WALL_TOLERANCE_SECONDS:
        ahead = f"job {latest[0].id} was submitted in the future: two machines disagree about the time"
        findings.append(Finding(Status.WARN, ahead, "have their clocks kept by NTP", "clock"))
    return findings


def _unlike(layouts: Mapping[str, Layout], settings: Settings) -> list[tuple[str, Layout]]:
    """Return what a person may want to know of: other numbers than the setting, and changes under way."""
    return [
        (type, layout)
        for type, layout in layouts.items()
        if layout.partitions != settings.partitions or not layout.settled
    ]


def _differing(type: str, layout: Layout, settings: Settings) -> Finding:
    if not layout.settled:
        what = f"the number of partitions of {type} is being changed to {layout.wanted}"
        return Finding(Status.WARN, what, f"see that a worker serves it; `jobkit topology {type}` shows how far it is")
    setting = f"JOBKIT_PARTITIONS={settings.partitions} counts for new types only"
    return Finding(Status.OK, f"{type} has {layout.partitions} partitions; {setting}")


async def _schedules(inspection: Inspection, coordinator: Coordinator | None) -> list[Finding]:
    try:
        members = None if coordinator is None else await coordinator.members()
    except Unavailable:
        # Its own probe says so.
        members = None
    return await schedules(inspection, None if members is None else {type for one in members for type in one.types})


async def _blobs(blobs: Blobs) -> list[Finding]:
    written = b"jobkit doctor\n"
    space = BlobSpace("doctor", "doctor", Fence(token=1, nonce=new_nonce(), owner=new_owner()))
    async with blobs.scratch(space) as directory:
        source = directory / "probe"
        source.write_bytes(written)
        blob = await blobs.store(space, "probe", source)
        try:
            read = b"".join([chunk async for chunk in blobs.read(blob.location)])
        finally:
            await blobs.delete([blob.location])
    if read != written:
        return [Finding(Status.FAIL, "a file came back other than it was written", "replace the disk or service")]
    return [Finding(Status.OK, "stores, returns and deletes files")]
