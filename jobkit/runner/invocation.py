"""How a processor's function is called: decided once, when the worker starts, and not again for each job."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any

from jobkit.plugin.context import Context
from jobkit.plugin.groups import AnyProcessor
from jobkit.runner.resources import OpenResources

Call = Callable[[Any, Context], Awaitable[Any]]


def calls_of(processors: Iterable[AnyProcessor], resources: OpenResources) -> Mapping[str, Call]:
    """Return what runs a job of each type, given its payload and context."""
    return {processor.name: _call(processor, resources) for processor in processors}


def _call(processor: AnyProcessor, resources: OpenResources) -> Call:
    if not processor.resources:
        return processor.function
    return partial(processor.function, **{name: resources[one] for name, one in processor.resources.items()})
