"""Runs one job of a processor in memory, by the code that a worker runs it by, without a worker around it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeVar

import structlog
from pydantic import BaseModel, TypeAdapter

from jobkit.backends.registry import memory_planes
from jobkit.errors import PayloadInvalid, Snooze
from jobkit.model.clock import Clock, SystemClock
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.model.read_back import codec_of, dump_untyped
from jobkit.plugin.job_groups import GroupAwaited
from jobkit.plugin.middleware import AroundAttempt
from jobkit.plugin.payload import Payload
from jobkit.plugin.processor import Processor
from jobkit.plugin.registry import Registry
from jobkit.plugin.resource import Resource
from jobkit.ports.checkpoints import CHECKPOINT, Checkpoint
from jobkit.ports.inspection import JobRecord, LoggedEntry
from jobkit.ports.planes import Planes
from jobkit.ports.store import Committed, NewJob, Opened
from jobkit.runner.attempt import Attempts, Awaiting, Failed, Snoozed
from jobkit.runner.decode import Job, decode
from jobkit.runner.invocation import calls_of
from jobkit.runner.resources import open_resources
from jobkit.telemetry import Telemetry

P = TypeVar("P", bound=Payload)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class JobOutcome(Generic[R]):
    """What a job committed. `blobs` are the bytes of its files, by name; `submitted` are its follow-up jobs.

    `checkpoint` is what it had kept last, and `steps` what its steps had come to, by name; both went with the commit.
    """

    result: R
    record: JobRecord
    log: Sequence[LoggedEntry]
    records: Mapping[str, Any]
    blobs: Mapping[str, bytes]
    submitted: Sequence[Envelope]
    checkpoint: Any = None
    steps: Mapping[str, Any] = field(default_factory=dict)


async def run_job(
    processor: Processor[P, R],
    payload: P,
    *,
    knows: Sequence[Processor[Any, Any]] = (),
    clock: Clock | None = None,
    connection: Any = None,
    checkpoint: BaseModel | None = None,
    steps: Mapping[str, Any] | None = None,
    resources: Mapping[Resource, object] | None = None,
    middleware: Sequence[AroundAttempt] = (),
) -> JobOutcome[R]:
    """Run `processor` once on `payload`, commit what it did, and return that.

    `knows` are the processors of the follow-up jobs it submits. `connection` is what the functions are called with that
    it stages with `ctx.in_commit`: one to a database of the test's, say, in a transaction that the test rolls back.
    `checkpoint` and `steps`, results by name, are what an earlier attempt has kept.

    `resources` are given to it in place of what those resources would open, whose settings are not asked for then; the
    others are opened, and closed again. `middleware` runs around it, the first outermost, with the type's own inside.
    Raises what the processor, or one of those functions, raises, as it is; and what a worker would record as a failed
    attempt, as that: `TimeoutError`, `EffectInvalid`, `ProjectionFailed`.
    """
    clock, json = clock or SystemClock(), TypeAdapter(Any)
    registry = Registry([processor, *knows])
    new = registry.new_job(processor.name, payload, submitted_at=clock.wall())
    given = resources or {}
    telemetry = Telemetry(log=structlog.get_logger("jobkit.testing"))
    settings = registry.settings([processor.name], given)
    wanted = registry.resources([processor.name], given)
    async with memory_planes(clock=clock) as planes, open_resources(wanted, settings, telemetry, given) as opened:
        fence = Fence(token=1, nonce=f"{random.getrandbits(64):016x}", owner="jobkit.testing")
        job = await _opened(planes, registry, new, fence)
        await _keep(planes, job, fence, checkpoint, steps or {})
        attempts = Attempts(
            planes,
            clock,
            telemetry,
            settings,
            registry,
            calls=calls_of([processor], opened, middleware),
            transactional=connection is not None,
        )
        done = await attempts.run(job, fence, 1, 0, 1)
        if isinstance(done, Snoozed):
            raise Snooze(timedelta(seconds=done.seconds))
        if isinstance(done, Awaiting):
            raise GroupAwaited(done.members, done.on_failure)
        if isinstance(done, Failed):
            raise done.error
        for participant in done.participants:
            await participant(connection)
        effects = done.effects
        kept = {one.step: json.validate_json(one.value) for one in await planes.store.checkpoints(job.envelope.id)}
        committed = await planes.store.commit(job.envelope, fence, effects)
        assert isinstance(committed, Committed)  # noqa: S101  (nobody else is there)
        return JobOutcome(
            result=processor.load_result(effects.result),
            record=await _record(planes, job.envelope.id),
            log=await planes.inspection.log(job.envelope.type, job.key),
            records={name: json.validate_json(value) for name, value in effects.records.items()},
            blobs={blob.name: await _bytes(planes, blob.location) for blob in effects.blobs},
            submitted=[released.envelope for released in committed.outbox],
            checkpoint=kept.pop(CHECKPOINT, None),
            steps=kept,
        )


async def _opened(planes: Planes, registry: Registry, new: NewJob, fence: Fence) -> Job:
    """Submit and open a job, decoded as a worker decodes it."""
    await planes.store.submit([new])
    (entry,) = await planes.store.outbox(older_than=-1, limit=1)
    await planes.store.published([entry.position])
    job = decode(entry.envelope.body, entry.envelope, "", registry, max_bytes=len(entry.envelope.body))
    if not isinstance(job, Job):
        raise PayloadInvalid(job.detail)
    opened = await planes.store.open(job.envelope, fence)
    assert isinstance(opened, Opened)  # noqa: S101  (a fresh store)
    return job


async def _keep(planes: Planes, job: Job, fence: Fence, checkpoint: BaseModel | None, steps: Mapping[str, Any]) -> None:
    """Keep what an earlier attempt is to have come to. Raises `NotReadBack` for what JSON cannot say."""
    kept = {} if checkpoint is None else {CHECKPOINT: codec_of(type(checkpoint)).dump(checkpoint, "checkpoint")}
    kept |= {name: dump_untyped(result, f"step {name!r}") for name, result in steps.items()}
    for name, value in kept.items():
        await planes.store.save_checkpoint(job.envelope, fence, Checkpoint(name, 1, value))


async def _record(planes: Planes, id: str) -> JobRecord:
    record = await planes.inspection.job(id)
    assert record is not None  # noqa: S101  (it was just committed)
    return record


async def _bytes(planes: Planes, location: str) -> bytes:
    return b"".join([chunk async for chunk in planes.blobs.read(location)])
