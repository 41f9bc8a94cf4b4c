"""Take-overs: who had opened a job, and did not end it, before another worker opened it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Another worker opened the job `at` a Unix time, which `owner` had opened under `token`, and had not ended."""

    owner: str
    token: int
    at: float


def dump_take_over(one: TakeOver) -> str:
    """Return a take-over as JSON, on one line."""
    return json.dumps([one.owner, one.token, one.at])


def load_take_overs(texts: Iterable[str | bytes]) -> tuple[TakeOver, ...]:
    """Return the take-overs that stores keep as JSON: owner, token and time of each, numbers as text or not."""
    return tuple(TakeOver(owner, int(token), float(at)) for owner, token, at in map(json.loads, texts))
