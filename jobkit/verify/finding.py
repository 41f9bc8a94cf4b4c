"""What a reading finds wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be. `invariant` is its name in the design; `where` names the key or job."""

    invariant: str
    where: str
    problem: str
