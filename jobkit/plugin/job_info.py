"""What is told of the job at hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JobInfo:
    """The job at hand. `type` is the group's name, where its processor is in one.

    `attempt` counts from 1; `submitted_at` is Unix time in seconds.
    """

    id: str
    type: str
    key: str
    sequence: int | None
    attempt: int
    submitted_at: float
