"""Sentry: each job that has died is one event there, with the error of its last attempt.

It sends nothing by itself: your program calls `sentry_sdk.init`. It sends no payload unless you say so, and never local
variables, which hold it. What an error's own message quotes is sent as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sentry_sdk
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.utils import event_from_exception

from jobkit.plugin.hooks import DeadEvent, FailedEvent, Hook, hook

if TYPE_CHECKING:
    from sentry_sdk._types import Event, LogLevelStr


def report_errors(*, payload: bool = False, retried: bool = False) -> Hook:
    """Return a hook that sends an event to Sentry for each job that has become a dead letter.

    With `retried` also one, a warning, for each failed attempt that is followed by another. `payload`: send the job's
    payload along. Name it in a module of `JOBKIT_MIDDLEWARE` that has called `sentry_sdk.init`.
    """
    # Where logs go through the standard library, each error would be a second event.
    ignore_logger("jobkit")

    async def report(event: DeadEvent | FailedEvent) -> None:
        if isinstance(event, DeadEvent):
            _send(event, "error", event.error, event.reason, payload=payload)
        elif retried and event.retry_in is not None:
            _send(event, "warning", event.error, "", payload=payload)

    return hook(report)


def _send(
    event: DeadEvent | FailedEvent, level: LogLevelStr, error: Exception | None, reason: str, *, payload: bool
) -> None:
    job = event.job
    about: dict[str, object] = {"key": job.key, "attempt": job.attempt, "sequence": job.sequence}
    if reason:
        about["reason"] = reason
    if payload:
        about["payload"] = event.payload.model_dump(mode="json")
    sent: Event = {"message": f"job died: {reason}"}
    hint: dict[str, Any] = {}
    if error is not None:
        options = {**sentry_sdk.get_client().options, "include_local_variables": False}
        sent, hint = event_from_exception(error, options, {"type": "jobkit", "handled": True})
    sent["level"] = level
    with sentry_sdk.new_scope() as scope:
        scope.set_tag("job.id", job.id)
        scope.set_tag("job.type", job.type)
        scope.set_context("job", {"id": job.id, "type": job.type, **about})
        scope.set_transaction_name(job.type)
        scope.capture_event(sent, hint)
