"""How a processor's function is called: decided once, when the worker starts, and not again for each job."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from jobkit.plugin.context import Context
from jobkit.plugin.groups import AnyProcessor
from jobkit.plugin.middleware import AroundAttempt
from jobkit.runner.in_process import in_process
from jobkit.runner.in_thread import in_thread
from jobkit.runner.resources import OpenResources

Call = Callable[[Any, Context], Awaitable[Any]]


def calls_of(
    processors: Iterable[AnyProcessor], resources: OpenResources, around: Sequence[AroundAttempt] = ()
) -> Mapping[str, Call]:
    """Return what runs a job of each type, given its payload and context: within `around`, the first outermost."""
    return {processor.name: _call(processor, resources, around) for processor in processors}


def _call(processor: AnyProcessor, resources: OpenResources, around: Sequence[AroundAttempt]) -> Call:
    call = bare_call(processor, resources)
    for middleware in reversed((*around, *processor.middleware)):
        call = _within(middleware, call)
    return call


def bare_call(processor: AnyProcessor, resources: OpenResources) -> Call:
    """Return what runs the processor where it is to run: on the loop, in a thread, or in a process."""
    if processor.isolation is not None:
        return partial(in_process, processor)
    call: Call = partial(in_thread, processor.function) if processor.blocking else processor.function
    if not processor.resources:
        return call
    return partial(call, **{name: resources[one] for name, one in processor.resources.items()})


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
