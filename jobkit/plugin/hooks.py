"""Hooks: functions that hear what became of a job, after the store has it.

They decide nothing: what they are told has happened, and what they raise is recorded and stops nobody. What must not be
lost belongs into a follow-up job, which is in the job's own commit.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from jobkit.errors import ConfigurationError
from jobkit.model.safe_text import shown
from jobkit.plugin.job_info import JobInfo
from jobkit.plugin.payload import Payload
from jobkit.plugin.resource import resolved_hints


@dataclass(frozen=True, slots=True)
class CommittedEvent:
    """A job has committed; its last attempt took `seconds`."""

    job: JobInfo
    payload: Payload = field(repr=False)
    seconds: float


@dataclass(frozen=True, slots=True)
class FailedEvent:
    """An attempt has failed, and that is recorded; the next one comes after `retry_in`, or none does."""

    job: JobInfo
    payload: Payload = field(repr=False)
    error: Exception
    retry_in: timedelta | None


@dataclass(frozen=True, slots=True)
class DeadEvent:
    """A job has become a dead letter; `error` is that of its last attempt, where this worker made it."""

    job: JobInfo
    payload: Payload = field(repr=False)
    reason: str
    error: Exception | None


@dataclass(frozen=True, slots=True)
class CancelledEvent:
    """This worker has found that a job was cancelled; the job's `attempt` is 0."""

    job: JobInfo
    payload: Payload = field(repr=False)


JobEvent = CommittedEvent | FailedEvent | DeadEvent | CancelledEvent
EVENTS = (CommittedEvent, FailedEvent, DeadEvent, CancelledEvent)


@dataclass(frozen=True, slots=True, eq=False)
class Hook:
    """A function that hears of events of these kinds."""

    name: str
    function: Callable[[Any], Awaitable[object]]
    events: tuple[type, ...]


def hook(function: Callable[[Any], Awaitable[object]]) -> Hook:
    """Declare `async def f(event: DeadEvent)` to hear of events; a union, `DeadEvent | FailedEvent`, of several kinds.

    Name its module in `JOBKIT_MIDDLEWARE`. Raises `ConfigurationError` where the annotation names no event.
    """
    if not inspect.iscoroutinefunction(function):
        raise ConfigurationError(f"hook must decorate an 'async def' function, not {shown(function)}")
    name = f"{function.__module__}.{function.__qualname__}"
    hints = resolved_hints(function, f"hook {name}")
    parameters = list(inspect.signature(function).parameters)
    named = hints.get(parameters[0]) if len(parameters) == 1 else None
    union = typing.get_origin(named) in (typing.Union, types.UnionType)
    events = typing.get_args(named) if union else (named,)
    if not set(events) <= set(EVENTS):
        known = ", ".join(event.__name__ for event in EVENTS)
        raise ConfigurationError(f"hook {name} must take one event, annotated as one or several of {known}")
    return Hook(name, function, events)
