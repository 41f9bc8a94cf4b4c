"""How many jobs a worker runs side by side: in all, and fewer of some types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MOST = 10_000


@dataclass(frozen=True, slots=True)
class Concurrency:
    """`total` jobs at once, of the types in `of_type` no more than that. Raises `ValueError` where it cannot be."""

    total: int
    of_type: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.total <= MOST:
            raise ValueError(f"{self.total} is no number from 1 to {MOST}")
        for type, limit in self.of_type.items():
            if not 1 <= limit <= self.total:
                raise ValueError(f"{type}={limit} is no number from 1 to {self.total}, how many run in all")

    @classmethod
    def parse(cls, text: str) -> Concurrency:
        """Return what `8` or `8,transcode=1` says. Raises `ValueError`."""
        total, *limits = (part.strip() for part in text.split(","))
        pairs = [limit.partition("=")[::2] for limit in limits]
        numbers = [total, *(number for _, number in pairs)]
        types = [type.strip() for type, _ in pairs]
        if not all(number.strip().isdecimal() for number in numbers) or "" in types or len(set(types)) < len(types):
            raise ValueError("use a whole number, then TYPE=NUMBER for types of which fewer may run: 8,transcode=1")
        return cls(int(total), {type: int(number) for type, (_, number) in zip(types, pairs, strict=True)})

    def __str__(self) -> str:
        return ",".join([str(self.total), *(f"{type}={limit}" for type, limit in self.of_type.items())])
