"""How a processor's function is called: decided once, when the worker starts, and not again for each job."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from jobkit.plugin.context import Context
from jobkit.plugin.groups import AnyProcessor
from jobkit.plugin.middleware import AroundAttempt
from jobkit.runner.resources import OpenResources

Call = Callable[[Any, Context], Awaitable[Any]]


def calls_of(
    processors: Iterable[AnyProcessor], resources: OpenResources, around: Sequence[AroundAttempt] = ()
) -> Mapping[str, Call]:
    """Return what runs a job of each type, given its payload and context: within `around`, the first outermost."""
    return {processor.name: _call(processor, resources, around) for processor in processors}


def _call(processor: AnyProcessor, resources: OpenResources, around: Sequence[AroundAttempt]) -> Call:
    call: Call = processor.function
    if processor.resources:
        call = partial(call, **{name: resources[one] for name, one in processor.resources.items()})
    for middleware in reversed((*around, *processor.middleware)):
        call = _within(middleware, call)
    return call


def _within(middleware: AroundAttempt, inner: Call) -> Call:
    async def call(job: Any, ctx: Context) -> Any:
        called = False

        async def call_next() -> Any:
            nonlocal called
            if called:
                raise RuntimeError(f"middleware {middleware.name} awaits call_next() again: an attempt runs once")
            called = True
            return await inner(job, ctx)

        return await middleware.function(job, ctx, call_next)

    return call
