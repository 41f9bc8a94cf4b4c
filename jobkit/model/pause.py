"""What a person has paused: all of a type, one of its partitions, or one of its keys; and what that holds up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jobkit.model.partition import partition_of


@dataclass(frozen=True, slots=True)
class Scope:
    """A type of job, or one of its partitions or keys. Raises `ValueError` where it names both of these."""

    type: str
    partition: int | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if self.partition is not None and self.key is not None:
            raise ValueError("a key is in one partition anyway: name the one or the other")

    def __str__(self) -> str:
        if self.key is not None:
            return f"{self.type}, key {self.key}"
        return self.type if self.partition is None else f"{self.type}, partition {self.partition}"


@dataclass(frozen=True, slots=True)
class Pause:
    """A scope in which no job begins; `since` is Unix time in seconds, by the store's clock."""

    scope: Scope
    by: str
    reason: str
    since: float


def in_order(pauses: Iterable[Pause]) -> list[Pause]:
    """Return pauses by type, those of all of it first."""

    def place(pause: Pause) -> tuple[str, int, str]:
        scope = pause.scope
        return scope.type, -1 if scope.partition is None else scope.partition, scope.key or ""

    return sorted(pauses, key=place)


def pause_of(pauses: Iterable[Pause], type: str, key: str, partitions: int) -> Pause | None:
    """Return the first pause that holds up a job of this type and key."""
    for pause in pauses:
        scope = pause.scope
        if scope.type != type:
            continue
        if scope.key is not None:
            held = scope.key == key
        else:
            held = scope.partition is None or scope.partition == partition_of(key, partitions)
        if held:
            return pause
    return None
