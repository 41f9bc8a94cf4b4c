"""Fourth stage: process. One run of a plugin's coroutine, and what came of it."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import anyio
from pydantic_settings import BaseSettings

from jobkit.errors import LeaseLost, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.fence import Fence
from jobkit.plugin.context import Context, FollowUps, JobInfo
from jobkit.ports.planes import Planes
from jobkit.ports.store import Effects, Failure, Participant
from jobkit.projections.reader import ProjectionReader
from jobkit.runner.decode import Job
from jobkit.telemetry import Telemetry
from jobkit.telemetry.log_context import log_context

# A dead letter keeps the end of a traceback, where the cause is.
_TRACEBACK_CHARACTERS = 8_000
_ERROR_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class Processed:
    """The attempt ended well: commit these effects, together with what the participants write."""

    effects: Effects
    participants: Sequence[Participant]


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt ended in this error."""

    error: Exception
    failure: Failure


class Attempts:
    """Runs attempts; holds what all of them share."""

    def __init__(
        self,
        planes: Planes,
        clock: Clock,
        telemetry: Telemetry,
        settings: Mapping[type[BaseSettings], BaseSettings],
        follow_ups: FollowUps,
    ) -> None:
        self._planes = planes
        self._clock = clock
        self._telemetry = telemetry
        self._settings = settings
        self._follow_ups = follow_ups
        self._transactional = planes.transactions is not None

    async def run(self, job: Job, fence: Fence, attempt: int, log_length: int, space: int) -> Processed | Failed:
        """Run the processor once and return what to commit, or the failure to record.

        `log_length` is that of the key's log as the job was opened; `space` tells apart what one fence writes.

        Raises `LeaseLost` or `Unavailable`: those are no fault of the job's, and its attempts are not counted by them.
        """
        envelope = job.envelope
        info = JobInfo(envelope.id, envelope.type, job.key, envelope.sequence, attempt, envelope.submitted_at)
        async with AsyncExitStack() as resources:
            ctx = Context(
                job=info,
                envelope=envelope,
                fence=fence,
                space=space,
                store=self._planes.store,
                blobs=self._planes.blobs,
                clock=self._clock,
                log=self._telemetry.log,
                settings=self._settings,
                follow_ups=self._follow_ups,
                projection_reader=self._projection_reader(job, log_length),
                resources=resources,
                transactional=self._transactional,
                on_unavailable=self._telemetry.connection_lost,
            )
            limit = job.processor.timeout.total_seconds()
            try:
                with (
                    log_context(_fields(info, fence)),
                    anyio.CancelScope(deadline=anyio.current_time() + limit) as scope,
                ):
                    result = await job.processor.function(job.payload, ctx)
                if scope.cancelled_caught:
                    raise TimeoutError
                return Processed(await ctx.effects(job.processor.dump_result(result)), ctx.participants)
            except asyncio.CancelledError as error:
                if _cancelled_from_outside():
                    raise
                told: Exception = RuntimeError("the processor awaited something of its own that was cancelled")
                return self._failed(told, error, fence, attempt)
            except Exception as error:  # noqa: BLE001  (a plugin may raise anything; all of it is recorded)
                if isinstance(error, TimeoutError) and scope.cancel_called:
                    told = TimeoutError(f"the attempt took longer than the processor's timeout of {limit:g} s")
                    return self._failed(told, error, fence, attempt)
                return self.failed(error, fence, attempt)

    def failed(self, error: Exception, fence: Fence, attempt: int) -> Failed:
        """Return the failure that an error of the plugin's is. Raises `LeaseLost` or `Unavailable`, as `run` does."""
        told = _single_cause(error)
        if isinstance(told, LeaseLost | Unavailable):
            raise told from error.__cause__
        return self._failed(told, error, fence, attempt)

    def _projection_reader(self, job: Job, log_length: int) -> ProjectionReader:
        planes, processor = self._planes, job.processor
        return ProjectionReader(
            planes.store, planes.inspection, job.envelope.type, job.key, log_length, processor.projections
        )

    def _failed(self, told: Exception, error: BaseException, fence: Fence, attempt: int) -> Failed:
        failure = Failure(
            attempt=attempt,
            error=_storable(f"{told.__class__.__name__}: {told}")[:_ERROR_CHARACTERS],
            traceback=_storable("".join(traceback.format_exception(error)))[-_TRACEBACK_CHARACTERS:],
            owner=fence.owner,
            token=fence.token,
            at=self._clock.wall(),
        )
        return Failed(told, failure)


def _fields(info: JobInfo, fence: Fence) -> dict[str, object]:
    return {"job": info.id, "type": info.type, "key": info.key, "token": fence.token, "attempt": info.attempt}


def _single_cause(error: Exception) -> Exception:
    """Unwrap what a processor's own task group wrapped, where it wrapped one error only."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _cancelled_from_outside() -> bool:
    """Tell whether somebody wants this task to end, as opposed to an error called CancelledError within it."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _storable(text: str) -> str:
    """Return text that any backend can keep: no lone surrogates, as from file names, and no NUL."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
