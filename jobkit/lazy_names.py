"""Public names that a package loads when they are asked for."""

from __future__ import annotations

from collections.abc import MutableMapping
from importlib import import_module
from typing import Any


def load(package: MutableMapping[str, Any], where: dict[str, str], name: str) -> Any:
    """Return what `package`, a module's globals, offers by this name, from the module `where` it is; it is kept there.

    For a module's `__getattr__` (PEP 562). Raises `AttributeError` where there is no such name.
    """
    if name not in where:
        raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
    package[name] = found = getattr(import_module(where[name]), name)
    return found
