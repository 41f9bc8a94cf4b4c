"""Middleware: functions of one's own around each attempt at a job, and around each submit.

It runs inside what it surrounds: what it writes goes through the attempt's context and under its fence, and what it
raises is the attempt's failure. It has no way around either.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jobkit.errors import ConfigurationError
from jobkit.model.safe_text import shown
from jobkit.plugin.context import Context
from jobkit.ports.store import NewJob


class AttemptMiddleware(Protocol):
    """What runs around an attempt: it awaits `call_next()` at most once, and returns the result, or another one."""

    async def __call__(self, job: Any, ctx: Context, call_next: Callable[[], Awaitable[Any]], /) -> Any:
        """Run the attempt. Whatever it raises is the attempt's failure."""
        ...


class SubmitMiddleware(Protocol):
    """What runs around a submit: it awaits `call_next()` once, which accepts the jobs, or raises instead."""

    async def __call__(self, jobs: Sequence[NewJob], call_next: Callable[[], Awaitable[None]], /) -> None:
        """Submit the jobs, which are valid. What it raises before `call_next()`, they are refused with."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class AroundAttempt:
    """Middleware around attempts, as it is declared."""

    name: str
    function: AttemptMiddleware


@dataclass(frozen=True, slots=True, eq=False)
class AroundSubmit:
    """Middleware around submits, as it is declared."""

    name: str
    function: SubmitMiddleware


def around_attempt(function: AttemptMiddleware) -> AroundAttempt:
    """Declare `async def f(job, ctx, call_next)` to run around attempts at jobs.

    Name its module in `JOBKIT_MIDDLEWARE` for all jobs of a process, or it itself in `processor(middleware=[...])` for
    those of a type. Raises `ConfigurationError` where it cannot be called so.
    """
    return AroundAttempt(_checked(function, "around_attempt", "(job, ctx, call_next)"), function)


def around_submit(function: SubmitMiddleware) -> AroundSubmit:
    """Declare `async def f(jobs, call_next)` to run around each submit of a client of this process.

    Name its module in `JOBKIT_MIDDLEWARE`. Raises `ConfigurationError` where it cannot be called so.
    """
    return AroundSubmit(_checked(function, "around_submit", "(jobs, call_next)"), function)


def _checked(function: Any, decorator: str, parameters: str) -> str:
    if not inspect.iscoroutinefunction(function):
        raise ConfigurationError(f"{decorator} must decorate an 'async def' function, not {shown(function)}")
    name = f"{function.__module__}.{function.__qualname__}"
    if len(inspect.signature(function).parameters) != parameters.count(",") + 1:
        raise ConfigurationError(f"{decorator}: {name} must take {parameters}")
    return name


def problems_of(middleware: object) -> list[str]:
    """Return what is wrong with the middleware of a declaration, whatever was given for it."""
    if isinstance(middleware, list | tuple) and all(isinstance(one, AroundAttempt) for one in middleware):
        return []
    return [f"middleware must be a list of functions declared with @around_attempt, not {shown(middleware)}"]
