"""What a person has paused."""

from __future__ import annotations

import json
from collections.abc import Sequence

from jobkit.backends.redis.scripts import Argument
from jobkit.backends.redis.submit import store_script
from jobkit.model.pause import Pause, Scope, in_order
from jobkit.ports.rules import PAUSES_AT_MOST, keepable_note, too_many_pauses

PAUSE = store_script("pause")
RESUME = store_script("resume_paused")
PAUSES = store_script("pauses")


def pause_arguments(scope: Scope, by: str, reason: str) -> tuple[Argument, ...]:
    """Return what the script is told."""
    said = json.dumps({"by": keepable_note(by), "reason": keepable_note(reason)})
    return (name(scope), said, str(PAUSES_AT_MOST))


def paused(scope: Scope, stored: bytes | None) -> Pause:
    """Return the pause that is there now. Raises `ValueError` where there was no room for one."""
    if stored is None:
        raise too_many_pauses()
    return _pause(scope, stored)


def resumed(scope: Scope, stored: bytes | None) -> Pause | None:
    """Return the pause that has ended."""
    return None if stored is None else _pause(scope, stored)


def pauses(flat: Sequence[bytes]) -> list[Pause]:
    """Return all that is paused."""
    return in_order(_pause(_scope(flat[at]), flat[at + 1]) for at in range(0, len(flat), 2))


def name(scope: Scope) -> str:
    """Return the field of a scope: names hold no NUL."""
    return f"{scope.type}\0{-1 if scope.partition is None else scope.partition}\0{scope.key or ''}"


def _scope(field: bytes) -> Scope:
    type, number, key = field.decode().split("\0")
    return Scope(type, int(number) if int(number) >= 0 else None, key or None)


def _pause(scope: Scope, stored: bytes) -> Pause:
    since, _, said = stored.partition(b" ")
    return Pause(scope, since=float(since), **json.loads(said))
