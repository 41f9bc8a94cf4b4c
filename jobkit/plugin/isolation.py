"""Where a processor runs: on the worker's event loop, in a thread of its own, or in a process of its own."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobkit.errors import ConfigurationError
from jobkit.model.safe_text import shown

_UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(KiB|MiB|GiB|TiB)")
# An interpreter with what jobkit imports takes most of this before it runs anything.
_LEAST_MEMORY = 128 * 2**20


@dataclass(frozen=True, slots=True)
class Isolation:
    """Each attempt runs in a process of its own, which may have so many bytes of address space; None: any number."""

    memory: int | None = None


def isolation_of(
    where: str, function: Callable[..., Any], isolation: object, memory: object, *, asks_for_resources: bool
) -> Isolation | None:
    """Return how attempts are kept apart. Raises `ConfigurationError` where that cannot work for this function."""
    if isolation is None:
        if memory is not None:
            raise ConfigurationError(f"{where}: memory can be bounded only with isolation='process'")
        return None
    if isolation != "process":
        raise ConfigurationError(f"{where}: isolation must be 'process' or None, not {shown(isolation)}")
    if inspect.iscoroutinefunction(function):
        raise ConfigurationError(f"{where}: isolation='process' is for a plain 'def' that takes a SyncContext")
    if "<locals>" in function.__qualname__:
        raise ConfigurationError(
            f"{where}: isolation='process' needs a function at the top of a module, where another process finds it"
        )
    if asks_for_resources:
        raise ConfigurationError(
            f"{where}: with isolation='process' it cannot ask for resources, which are open in the worker: open "
            "what it needs in the function"
        )
    return Isolation(None if memory is None else _bytes(where, memory))


def _bytes(where: str, memory: object) -> int:
    found = _SIZE.fullmatch(memory) if isinstance(memory, str) else None
    size = int(float(found[1]) * _UNITS[found[2]]) if found else memory
    if not isinstance(size, int) or isinstance(size, bool):
        raise ConfigurationError(f"{where}: memory must be a size, such as '2 GiB', not {shown(memory)}")
    if size < _LEAST_MEMORY:
        raise ConfigurationError(f"{where}: memory must be 128 MiB at least, which Python itself needs, not {memory}")
    return size
