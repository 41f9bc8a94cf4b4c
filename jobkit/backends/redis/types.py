"""Published job types: what the server is asked to keep of them."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.redis.scripts import Argument
from jobkit.backends.redis.submit import store_script
from jobkit.ports.types import PublishedType

SAVE = store_script("save_types")
TYPES = store_script("types")


def save_arguments(types: Sequence[PublishedType]) -> list[Argument]:
    """Return what `SAVE` is told."""
    return [part for type in types for part in (type.name, type.definition)]


def published(flat: Sequence[bytes]) -> list[PublishedType]:
    """Return the types in what `TYPES` answers, in order of names."""
    found = [_published(flat[at].decode(), flat[at + 1]) for at in range(0, len(flat), 2)]
    return sorted(found, key=lambda found: found.name)


def _published(name: str, kept: bytes) -> PublishedType:
    at, _, definition = kept.partition(b" ")
    return PublishedType(name, definition, float(at))
