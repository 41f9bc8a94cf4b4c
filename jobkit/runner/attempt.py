"""Fourth stage: process. One run of a plugin's coroutine, and what came of it."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from pydantic_settings import BaseSettings

from jobkit.errors import EffectInvalid, LeaseLost, Snooze, Unavailable
from jobkit.files.file_set import FileReader
from jobkit.model.clock import Clock
from jobkit.model.fence import Fence
from jobkit.model.job_group import OnFailure
from jobkit.model.plane import Plane
from jobkit.model.safe_text import error_text, error_traceback
from jobkit.plugin.context import Context
from jobkit.plugin.follow_ups import FollowUps
from jobkit.plugin.job_groups import GroupAwaited
from jobkit.plugin.job_info import JobInfo
from jobkit.plugin.notification import Notification
from jobkit.ports.planes import Planes
from jobkit.ports.store import Effects, Failure, NewJob
from jobkit.ports.transactions import Participant
from jobkit.projections.reader import ProjectionReader
from jobkit.runner.contained import GRACE_SECONDS, Raised, Returned, TimedOut, contained
from jobkit.runner.decode import Job
from jobkit.runner.invocation import Call, bare_call
from jobkit.telemetry import Telemetry
from jobkit.telemetry.log_context import log_context


@dataclass(frozen=True, slots=True)
class Processed:
    """The attempt ended well: commit these effects, together with what the participants write."""

    effects: Effects
    participants: Sequence[Participant]
    attempt: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt ended in this error."""

    error: Exception
    failure: Failure


@dataclass(frozen=True, slots=True)
class Snoozed:
    """The processor put the job off: try it again in so many seconds; it counts for nothing."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Awaiting:
    """The processor submits a group, and goes on once all of its members have ended."""

    members: Sequence[NewJob]
    on_failure: OnFailure


class Attempts:
    """Runs attempts; holds what all of them share.

    `calls` are what runs a job of each type; without one that is its processor's function. `transactional`: whether
    others can take part in the commit's transaction; by default, what the planes say.
    """

    def __init__(
        self,
        planes: Planes,
        clock: Clock,
        telemetry: Telemetry,
        settings: Mapping[type[BaseSettings], BaseSettings],
        follow_ups: FollowUps,
        *,
        calls: Mapping[str, Call] | None = None,
        transactional: bool | None = None,
    ) -> None:
        self._planes = planes
        self._clock = clock
        self._telemetry = telemetry
        self._settings = settings
        self._follow_ups = follow_ups
        self._calls = calls or {}
        self._file_reader = FileReader(planes.inspection, planes.blobs)
        self._transactional = planes.transactions is not None if transactional is None else transactional

    async def run(
        self, job: Job, fence: Fence, attempt: int, log_length: int, space: int
    ) -> Processed | Failed | Snoozed | Awaiting:
        """Run the processor once and return what to commit, or the failure to record.

        `log_length` is that of the key's log as the job was opened; `space` tells apart what one fence writes.

        Raises `LeaseLost` or `Unavailable`: those are no fault of the job's, and its attempts are not counted by them.
        """
        info = info_of(job, attempt)
        fields = _fields(info, fence)
        async with AsyncExitStack() as resources:
            ctx = self._context(job, info, fence, space, log_length, resources)

            def stop(given_up: bool) -> None:
                ctx.end()
                if given_up:
                    self._telemetry.log.error(
                        "processor does not stop when it is cancelled, attempt given up", grace=GRACE_SECONDS, **fields
                    )

            call = self._calls.get(job.processor.name) or bare_call(job.processor, {})
            limit = job.processor.timeout.total_seconds()
            try:
                with log_context(fields):
                    ended = await contained(_effects(call, job, ctx), limit=limit, on_stop=stop)
            finally:
                ctx.end()
            match ended:
                case Returned(effects):
                    return Processed(effects, [_survived(participant) for participant in ctx.participants], attempt)
                case Raised(Snooze(after=after)):
                    return Snoozed(after.total_seconds())
                case Raised(GroupAwaited(members=members, on_failure=on_failure)):
                    return Awaiting(members, on_failure)
                case Raised(error):
                    return self._raised(error, fence, attempt)
                case TimedOut(error):
                    told = f"the attempt took longer than the processor's timeout of {limit:g} s"
                    if error is None:
                        told += f", and did not stop within {GRACE_SECONDS:g} s of being cancelled: it was given up"
                    late = TimeoutError(told)
                    return self._failed(late, error or late, fence, attempt)

    def _context(
        self, job: Job, info: JobInfo, fence: Fence, space: int, log_length: int, resources: AsyncExitStack
    ) -> Context:
        return Context(
            job=info,
            envelope=job.envelope,
            fence=fence,
            space=space,
            store=self._planes.store,
            blobs=self._planes.blobs,
            clock=self._clock,
            log=self._telemetry.log,
            settings=self._settings,
            follow_ups=self._follow_ups,
            file_reader=self._file_reader,
            projection_reader=self._projection_reader(job, log_length),
            resources=resources,
            transactional=self._transactional,
            on_unavailable=self._telemetry.connection_lost,
        )

    def _raised(self, error: BaseException, fence: Fence, attempt: int) -> Failed:
        """Return the failure that anything raised by a processor is."""
        if isinstance(error, Exception):
            return self.failed(error, fence, attempt)
        if isinstance(error, asyncio.CancelledError):
            told = RuntimeError("the processor awaited something of its own that was cancelled")
        else:
            told = _exit_of("the processor", error)
        return self._failed(told, error, fence, attempt)

    def failed(self, error: Exception, fence: Fence, attempt: int) -> Failed:
        """Return the failure that an error of the plugin's is. Raises `LeaseLost` or `Unavailable`, as `run` does."""
        told = _single_cause(error)
        if isinstance(told, LeaseLost | Unavailable):
            raise told from error.__cause__
        if _is_full_disk(told):
            raise Unavailable(Plane.BLOBS, f"no room on the disk where jobs work: {error_text(told)}") from error
        return self._failed(told, error, fence, attempt)

    def _projection_reader(self, job: Job, log_length: int) -> ProjectionReader:
        planes, processor = self._planes, job.processor
        return ProjectionReader(
            planes.store, planes.inspection, job.envelope.type, job.key, log_length, processor.projections
        )

    def _failed(self, told: Exception, error: BaseException, fence: Fence, attempt: int) -> Failed:
        failure = Failure(
            attempt=attempt,
            error=error_text(told),
            traceback=error_traceback(error),
            owner=fence.owner,
            token=fence.token,
            at=self._clock.wall(),
        )
        return Failed(told, failure)


def info_of(job: Job, attempt: int) -> JobInfo:
    """Return what is said of a job at one attempt."""
    envelope = job.envelope
    return JobInfo(envelope.id, envelope.type, job.key, envelope.sequence, attempt, envelope.submitted_at)


async def _effects(call: Call, job: Job, ctx: Context) -> Effects:
    """Run the processor, and return what it did, proven to read back."""
    result = await call(job.payload, ctx)
    for notify in job.processor.notify:
        if (told := notify(job.payload, result, ctx.job)) is not None:
            _refuse_other_ends(told)
            ctx.submit(told.type, told.payload, key=told.key)
    ctx.end()
    return await ctx.effects(job.processor.dump_result(result))


def _refuse_other_ends(told: Notification) -> None:
    if tuple(told.on) != ("committed",):
        raise EffectInvalid(
            f"what notify= of a processor makes tells of a commit, not on={told.on!r}: that is for a submit"
        )


def _survived(participant: Participant) -> Participant:
    """Return a participant that ends no worker, whatever it raises."""

    async def participate(connection: Any) -> object:
        try:
            return await participant(connection)
        except (Exception, asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            raise _exit_of("a function staged with ctx.in_commit", error) from error

    return participate


def _exit_of(who: str, error: BaseException) -> RuntimeError:
    return RuntimeError(f"{who} raised {error_text(error)}, which is meant to end a program")


def _fields(info: JobInfo, fence: Fence) -> dict[str, object]:
    return {"job": info.id, "type": info.type, "key": info.key, "token": fence.token, "attempt": info.attempt}


def _is_full_disk(error: BaseException | None) -> bool:
    """Return whether the error, or what it was raised from, says that a disk is full: that is no doing of the job's."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False


def _single_cause(error: Exception) -> Exception:
    """Unwrap what a processor's own task group wrapped, where it wrapped one error only."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
