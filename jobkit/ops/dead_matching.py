"""Dead letters of the jobs that somebody looks for, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator

from jobkit.model.job_filter import JobFilter
from jobkit.ops.matches import matches
from jobkit.ports.inspection import DeadLetter, Inspection

_PAGE = 250


async def letters_matching(
    inspection: Inspection, wanted: JobFilter, *, upto: int | None = None
) -> AsyncIterator[DeadLetter]:
    """Yield the letters of dead jobs that match, the oldest first, up to a number. Raises `Unavailable`."""
    after = 0
    while page := await inspection.dead(type=wanted.type, limit=_PAGE, after=after):
        after = page[-1].number
        jobs = await inspection.records([letter.id for letter in page if letter.id is not None])
        for letter in page:
            if upto is not None and letter.number > upto:
                return
            if letter.id is not None and letter.id in jobs and matches(jobs[letter.id], wanted):
                yield letter


async def letter_of(inspection: Inspection, id: str) -> DeadLetter | None:
    """Return the dead letter of a job; None where it has none. Raises `Unavailable`."""
    return next(iter(await inspection.letters(id, limit=1)), None)
