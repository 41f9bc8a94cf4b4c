"""What a broker needs on its server, for a person who looks at it or wants it made beforehand.

Workers and submitters make what they need by themselves; only a broker with something to show implements this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class PartState(StrEnum):
    """How a part of a topology is found."""

    THERE = "there"
    MISSING = "missing"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class TopologyPart:
    """One exchange or queue: as it should be, and whether it is.

    `messages` are those ready in a queue; `problem` is the server's word for a difference.
    """

    kind: str
    name: str
    arguments: Mapping[str, str | int | bool]
    state: PartState
    messages: int = 0
    problem: str = ""


class TopologyAdmin(Protocol):
    """Looks at the topology of job types, and completes it. Methods raise `Unavailable` or `ConfigurationError`."""

    async def look(self, type: str, partitions: int, *, bands: bool) -> Sequence[TopologyPart]:
        """Return what a type with so many partitions needs on the server, and what of it exists. Makes nothing.

        With `bands`, it is one whose jobs have priorities.
        """
        ...

    async def complete(self, type: str, partitions: int, *, bands: bool) -> None:
        """Make what is missing for such a type; nothing is ever taken away."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...
