"""What the signature of a processor's function says: its payload, its result, and the resources that it asks for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jobkit.errors import ConfigurationError
from jobkit.plugin.payload import Payload
from jobkit.plugin.resource import Resource, asked_for, resolved_hints


@dataclass(frozen=True, slots=True)
class Signature:
    """What a processor's function takes and returns; `resources` by parameter."""

    payload: Any
    result: Any
    resources: Mapping[str, Resource]


def signature_of(type: str, function: Callable[..., Any]) -> Signature:
    """Return what the function of job type `type` says. Raises `ConfigurationError` where it cannot be a processor."""
    where = f"processor of job type {type!r}"
    if not inspect.iscoroutinefunction(function):
        raise ConfigurationError(f"{where} must be an 'async def' function")
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
    resources = {one.name: asked_for(one, hints.get(one.name), where) for one in more[1:]}
    return Signature(payload, hints["return"], resources)
