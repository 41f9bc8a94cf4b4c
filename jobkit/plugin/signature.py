"""What the signature of a processor's function says: its payload, its result, and the resources that it asks for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jobkit.errors import ConfigurationError
from jobkit.model.safe_text import shown
from jobkit.plugin.payload import Payload
from jobkit.plugin.resource import Resource, asked_for, resolved_hints
from jobkit.plugin.sync_context import SyncContext


@dataclass(frozen=True, slots=True)
class Signature:
    """What a processor's function takes and returns; `resources` by parameter."""

    payload: Any
    result: Any
    resources: Mapping[str, Resource]


def signature_of(type: str, function: Callable[..., Any]) -> Signature:
    """Return what the function of job type `type` says. Raises `ConfigurationError` where it cannot be a processor."""
    where = f"processor of job type {type!r}"
    if not inspect.isfunction(function):
        raise ConfigurationError(f"{where} must be a function, not {shown(function)}")
    blocking = not inspect.iscoroutinefunction(function)
    hints = resolved_hints(function, where)
    first, *more = inspect.signature(function).parameters.values()
    payload = hints.get(first.name)
    if not more or not (inspect.isclass(payload) and issubclass(payload, Payload)):
        raise ConfigurationError(
            f"{where} must take (job: SomePayload, ctx: Context), where SomePayload is a subclass of jobkit.Payload, "
            "and after these the resources that it needs"
        )
    if "return" not in hints:
        raise ConfigurationError(f"{where} must say what it returns: '-> SomeResult', or '-> None'")
    if blocking and hints.get(more[0].name) is not SyncContext:
        raise ConfigurationError(
            f"{where} is a plain 'def', which runs in a thread: annotate '{more[0].name}: SyncContext', or make it an "
            "'async def'"
        )
    if not blocking and hints.get(more[0].name) is SyncContext:
        raise ConfigurationError(f"{where} is an 'async def', which takes a Context: a SyncContext would block it")
    resources = {one.name: asked_for(one, hints.get(one.name), where) for one in more[1:]}
    return Signature(payload, hints["return"], resources)
