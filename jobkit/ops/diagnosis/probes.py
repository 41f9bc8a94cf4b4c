"""What `jobkit doctor` has each plane do, to see whether it can.

What a probe writes it takes back. It does not raise: what goes wrong is its finding. One plane that is in trouble does
not hide the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Collection
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TypeVar

import anyio

from jobkit.backends.registry import Opening, open_blobs, open_broker, open_coordinator, open_store
from jobkit.errors import JobkitError, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.fence import Fence
from jobkit.model.ids import new_nonce, new_owner
from jobkit.ops.diagnosis.finding import Finding, Status, failed
from jobkit.ports.blobs import Blobs, BlobSpace
from jobkit.ports.broker import Broker
from jobkit.ports.coordinator import Coordinator, Granted, LeaseRef
from jobkit.ports.inspection import Inspection
from jobkit.ports.store import Store
from jobkit.settings import Settings

T = TypeVar("T")

# For opening a plane, and again for what it is asked.
_LIMIT_SECONDS = 10.0
_PROBE_LEASE_SECONDS = 10.0
# An accepted job that is not published after this long has no worker to publish it.
_OUTBOX_PATIENCE_SECONDS = 60.0
_WALL_TOLERANCE_SECONDS = 5.0
_FOREVER_SECONDS = 1e12


async def probe_planes(settings: Settings, clock: Clock, suspects: Collection[str]) -> list[Finding]:
    """Open each plane, ask it something and have it write something; of `suspects` it is known if they do not open."""
    findings: list[Finding] = []

    async def opened(plane: str, opening: Awaitable[T]) -> T | None:
        found = await _answer(plane, opening)
        if not isinstance(found, Finding):
            return found
        if plane not in suspects:
            findings.append(found)
        return None

    async def probed(plane: str, probing: Awaitable[list[Finding]]) -> None:
        found = await _answer(plane, probing)
        findings.extend([found] if isinstance(found, Finding) else found)

    async with AsyncExitStack() as stack:
        opening = Opening(clock, stack)
        blobs = await opened("blobs", open_blobs(settings, opening))
        store = await opened("store", open_store(settings, opening))
        coordinator = await opened("coordinator", open_coordinator(settings, opening))
        broker = await opened("broker", open_broker(settings, opening))
        if broker:
            await probed("broker", _broker(broker, coordinator, settings))
        if coordinator:
            await probed("coordinator", _coordinator(coordinator))
        if store:
            await probed("store", _store(*store, clock))
        if blobs:
            await probed("blobs", _blobs(blobs))
    return findings


async def _answer(plane: str, asking: Awaitable[T]) -> T | Finding:
    """Return what is asked for, or the finding that it fails."""
    try:
        with anyio.fail_after(_LIMIT_SECONDS):
            return await asking
    except TimeoutError:
        error: Exception = Unavailable(plane, f"no answer within {_LIMIT_SECONDS:g} s")
    except (JobkitError, OSError) as raised:
        error = raised
    away = isinstance(error, Unavailable)
    change = f"see that it runs, and that JOBKIT_{plane.upper()}_URL names it" if away else ""
    return replace(failed(plane, error), change=change)


async def _broker(broker: Broker, coordinator: Coordinator | None, settings: Settings) -> list[Finding]:
    part = "broker"
    depths = await broker.depths()
    declared = Counter(depth.partition.type for depth in depths)
    waiting: Counter[str] = Counter()
    for depth in depths:
        waiting[depth.partition.type] += depth.ready
    what = f"answers; {sum(waiting.values())} messages wait in the queues of {len(declared)} job types"
    findings = [Finding(part, Status.OK, what)]
    served = await _served(coordinator, declared)
    for type, partitions in sorted(declared.items()):
        if partitions != settings.partitions:
            differs = f"{type} has {partitions} partitions, JOBKIT_PARTITIONS is {settings.partitions}"
            findings.append(Finding(part, Status.FAIL, differs, f"set JOBKIT_PARTITIONS={partitions}"))
        if waiting[type] and type not in served:
            idle = f"{waiting[type]} messages of {type} wait, and no live worker serves it"
            findings.append(Finding(part, Status.WARN, idle, f"jobkit worker {type}"))
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
    part, resource = "coordinator", "doctor"
    nonce = new_nonce()
    answer = await coordinator.claim(resource, owner=new_owner(), nonce=nonce, ttl=_PROBE_LEASE_SECONDS)
    members = await coordinator.members()
    workers = f"{len(members)} live workers"
    if not isinstance(answer, Granted):
        return [Finding(part, Status.OK, f"answers (another doctor holds the test lease); {workers}")]
    lease = LeaseRef(resource, answer.token, nonce)
    kept = lease in await coordinator.renew([lease], ttl=_PROBE_LEASE_SECONDS)
    freed = await coordinator.release(lease)
    if not (kept and freed):
        return [
            Finding(part, Status.FAIL, "it lost a lease at once", "look for what makes it forget: memory, eviction")
        ]
    return [Finding(part, Status.OK, f"grants, renews and releases leases; {workers}")]


async def _store(store: Store, inspection: Inspection, clock: Clock) -> list[Finding]:
    part = "store"
    # Nothing is old enough to go, so this only shows that the store takes a write.
    await inspection.prune(older_than=_FOREVER_SECONDS, keep_at_most=1 << 53, batch=1)
    counts = await inspection.counts()
    jobs = ", ".join(f"{number} {state.value}" for state, number in counts.jobs.items() if number) or "no jobs"
    findings = [Finding(part, Status.OK, f"answers and takes writes; {jobs}")]
    if counts.dead:
        findings.append(Finding(part, Status.WARN, f"{counts.dead} dead letters", "jobkit dead list"))
    if counts.parked:
        findings.append(Finding(part, Status.WARN, f"{counts.parked} jobs are parked", "jobkit gaps list"))
    if await store.outbox(older_than=_OUTBOX_PATIENCE_SECONDS, limit=1):
        late = f"accepted jobs have waited for over {_OUTBOX_PATIENCE_SECONDS:g} s to be published"
        findings.append(Finding(part, Status.WARN, late, "start a worker, and look at its log"))
    latest = await inspection.jobs(limit=1)
    if latest and latest[0].submitted_at > clock.wall() + _WALL_TOLERANCE_SECONDS:
        ahead = f"job {latest[0].id} was submitted in the future: two machines disagree about the time"
        findings.append(Finding("clock", Status.WARN, ahead, "have their clocks kept by NTP"))
    return findings


async def _blobs(blobs: Blobs) -> list[Finding]:
    part = "blobs"
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
        return [Finding(part, Status.FAIL, "a file came back other than it was written", "replace the disk or service")]
    return [Finding(part, Status.OK, "stores, returns and deletes files")]
