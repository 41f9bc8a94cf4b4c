"""Runs one job of a processor in memory: the real way of a job, without a worker around it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog
from pydantic import TypeAdapter

from jobkit.backends.registry import memory_planes
from jobkit.model.clock import Clock, SystemClock
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.plugin.context import Context, JobInfo
from jobkit.plugin.payload import Payload
from jobkit.plugin.processor import Processor
from jobkit.plugin.registry import Registry
from jobkit.ports.inspection import JobRecord, LoggedEntry
from jobkit.ports.planes import Planes
from jobkit.ports.store import Committed, Opened
from jobkit.projections.reader import ProjectionReader

P = TypeVar("P", bound=Payload)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class JobOutcome(Generic[R]):
    """What a job committed. `blobs` are the bytes of its files, by name; `submitted` are its follow-up jobs."""

    result: R
    record: JobRecord
    log: Sequence[LoggedEntry]
    records: Mapping[str, Any]
    blobs: Mapping[str, bytes]
    submitted: Sequence[Envelope]


async def run_job(
    processor: Processor[P, R],
    payload: P,
    *,
    knows: Sequence[Processor[Any, Any]] = (),
    clock: Clock | None = None,
    connection: Any = None,
) -> JobOutcome[R]:
    """Run `processor` once on `payload`, commit what it did, and return that.

    `knows` are the processors of the follow-up jobs it submits. `connection` is what the functions are called with that
    it stages with `ctx.in_commit`: one to a database of the test's, say, in a transaction that the test rolls back.
    Raises what the processor, or one of those functions, raises, as it is.
    """
    clock = clock or SystemClock()
    registry = Registry([processor, *knows])
    job = registry.new_job(processor.name, payload, submitted_at=clock.wall())
    async with memory_planes(clock=clock) as planes, AsyncExitStack() as resources:
        await planes.store.submit([job])
        (entry,) = await planes.store.outbox(older_than=-1, limit=1)
        await planes.store.published([entry.position])
        envelope = entry.envelope
        fence = Fence(token=1, nonce=f"{random.getrandbits(64):016x}", owner="jobkit.testing")
        opened = await planes.store.open(envelope, fence)
        assert isinstance(opened, Opened)  # noqa: S101  (a fresh store)
        ctx = Context(
            job=JobInfo(envelope.id, envelope.type, envelope.key or "", envelope.sequence, 1, envelope.submitted_at),
            envelope=envelope,
            fence=fence,
            store=planes.store,
            blobs=planes.blobs,
            clock=clock,
            log=structlog.get_logger("jobkit.testing"),
            settings=registry.settings([processor.name]),
            follow_ups=registry,
            projection_reader=ProjectionReader(
                planes.store, planes.inspection, envelope.type, envelope.key or "", 0, processor.projections
            ),
            resources=resources,
            transactional=connection is not None,
        )
        # As a worker gets it: what does not survive the way as JSON should show in a test.
        result = await processor.function(processor.parse(envelope.body), ctx)
        effects = await ctx.effects(processor.dump_result(result))
        for participant in ctx.participants:
            await participant(connection)
        committed = await planes.store.commit(envelope, fence, effects)
        assert isinstance(committed, Committed)  # noqa: S101  (nobody else is there)
        json = TypeAdapter(Any)
        return JobOutcome(
            result=result,
            record=await _record(planes, envelope.id),
            log=await planes.inspection.log(envelope.type, envelope.key or ""),
            records={name: json.validate_json(value) for name, value in effects.records.items()},
            blobs={blob.name: await _bytes(planes, blob.location) for blob in effects.blobs},
            submitted=[released.envelope for released in committed.outbox],
        )


async def _record(planes: Planes, id: str) -> JobRecord:
    record = await planes.inspection.job(id)
    assert record is not None  # noqa: S101  (it was just committed)
    return record


async def _bytes(planes: Planes, location: str) -> bytes:
    return b"".join([chunk async for chunk in planes.blobs.read(location)])
