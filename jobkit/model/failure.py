"""A failed attempt, as a job's history keeps it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt. `at` is Unix time in seconds, for people; `owner` and `token` say who ran it."""

    attempt: int
    error: str
    traceback: str
    owner: str
    token: int
    at: float
