"""Fourth stage: process. One run of a plugin's coroutine, and what came of it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

import anyio
from pydantic_settings import BaseSettings
from structlog.contextvars import bound_contextvars
from structlog.typing import FilteringBoundLogger

from jobkit.clock import Clock
from jobkit.context import Context, FollowUps, JobInfo
from jobkit.errors import LeaseLost, Unavailable
from jobkit.fence import Fence
from jobkit.ports.planes import Planes
from jobkit.ports.store import Effects, Failure
from jobkit.runner.job import Job

# A dead letter keeps the end of a traceback, where the cause is.
_TRACEBACK_CHARACTERS = 8_000


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
        log: FilteringBoundLogger,
        settings: Mapping[type[BaseSettings], BaseSettings],
        follow_ups: FollowUps,
    ) -> None:
        self._planes = planes
        self._clock = clock
        self._log = log
        self._settings = settings
        self._follow_ups = follow_ups

    async def run(self, job: Job, fence: Fence, attempt: int) -> Effects | Failed:
        """Run the processor once and return the effects to commit, or the failure to record.

        Raises `LeaseLost` or `Unavailable`: those are no fault of the job's, and its attempts are not counted by them.
        """
        envelope = job.envelope
        info = JobInfo(envelope.id, envelope.type, job.key, envelope.sequence, attempt, envelope.submitted_at)
        async with AsyncExitStack() as resources:
            ctx = Context(
                job=info,
                envelope=envelope,
                fence=fence,
                store=self._planes.store,
                blobs=self._planes.blobs,
                clock=self._clock,
                log=self._log,
                settings=self._settings,
                follow_ups=self._follow_ups,
                resources=resources,
            )
            limit = job.processor.timeout.total_seconds()
            try:
                with (
                    bound_contextvars(job=info.id, type=info.type, key=info.key, token=fence.token, attempt=attempt),
                    anyio.fail_after(limit) as scope,
                ):
                    result = await job.processor.function(job.payload, ctx)
                return ctx.effects(job.processor.dump_result(result))
            except (LeaseLost, Unavailable):
                raise
            except Exception as error:  # noqa: BLE001  (a plugin may raise anything; all of it is recorded)
                told: Exception = error
                if isinstance(error, TimeoutError) and scope.cancel_called:
                    told = TimeoutError(f"the attempt took longer than the processor's timeout of {limit:g} s")
                return self._failed(told, error, fence, attempt)

    def _failed(self, told: Exception, error: Exception, fence: Fence, attempt: int) -> Failed:
        cause = _single_cause(told)
        failure = Failure(
            attempt=attempt,
            error=f"{cause.__class__.__name__}: {cause}",
            traceback="".join(traceback.format_exception(error))[-_TRACEBACK_CHARACTERS:],
            owner=fence.owner,
            token=fence.token,
            at=self._clock.wall(),
        )
        return Failed(cause, failure)


def _single_cause(error: Exception) -> Exception:
    """Unwrap what a processor's own task group wrapped, where it wrapped one error only."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
