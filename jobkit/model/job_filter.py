"""Which jobs somebody looks for."""

from __future__ import annotations

from dataclasses import dataclass

from jobkit.model.job_state import JobState

# Whoever submits says when that was, by a clock of their own: jobs are looked for so many seconds farther.
CLOCKS_APART = 60.0


@dataclass(frozen=True, slots=True)
class JobFilter:
    """All that a job has to be; None is anything.

    `worker` is what the name of the worker begins with that began it last. `error` is found in what one of its attempts
    failed with, or in why it was ended; large and small ASCII letters are the same. It was submitted between `since`
    and `until`, which are Unix seconds. It has this `tag`.
    """

    type: str | None = None
    key: str | None = None
    state: JobState | None = None
    worker: str | None = None
    error: str | None = None
    since: float | None = None
    until: float | None = None
    tag: str | None = None
