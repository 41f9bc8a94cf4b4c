"""Jobs that match, in pages: however many there are, none is held for long and no transaction is long."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from jobkit.model.job_filter import JobFilter
from jobkit.ports.inspection import Inspection, JobState

# Few enough that the store has time for jobs in between.
PAGE = 250
# Of so many jobs of a type those of a key are picked at a time.
_LOOKED_AT = 2_500


async def pages(
    inspection: Inspection, wanted: JobFilter, states: Sequence[JobState], *, upto: int
) -> AsyncIterator[Sequence[str]]:
    """Yield ids of the jobs wanted that are in these states, none of which is an end, up to the number `upto`.

    The state that `wanted` names is not looked at. The latest come first. Raises `Unavailable`.
    """
    for state in states:
        below: int | None = upto + 1
        while below is not None:
            ids, below = await _page(inspection, replace(wanted, state=state), state, below)
            for start in range(0, len(ids), PAGE):
                yield ids[start : start + PAGE]


async def _page(
    inspection: Inspection, wanted: JobFilter, state: JobState, below: int
) -> tuple[Sequence[str], int | None]:
    # Of a type, or one of its keys, the store tells ids without reading the jobs.
    if wanted.type is not None and wanted == JobFilter(wanted.type, wanted.key, state):
        look_at = PAGE if wanted.key is None else _LOOKED_AT
        return await inspection.unfinished(wanted.type, state, key=wanted.key, below=below, limit=look_at)
    page = await inspection.find(wanted, below=below, limit=PAGE)
    return [job.id for job in page.jobs], page.below


async def count(inspection: Inspection, wanted: JobFilter, states: Sequence[JobState], *, upto: int) -> int:
    """Count such jobs. Raises `Unavailable`."""
    return sum([len(ids) async for ids in pages(inspection, wanted, states, upto=upto)])


async def cancel(
    inspection: Inspection,
    wanted: JobFilter,
    states: Sequence[JobState],
    *,
    upto: int,
    by: str,
    reason: str,
) -> AsyncIterator[int]:
    """Cancel such jobs, those too that come to such a state meanwhile; yield how many each transaction cancelled.

    What is in no such state any more as its turn comes is left as it is: the store decides that. Raises `Unavailable`.
    """
    some = True
    while some:
        some = False
        async for ids in pages(inspection, wanted, states, upto=upto):
            answers = await inspection.cancel(ids, by=by, reason=reason, states=states)
            cancelled = sum(answer.cancelled for answer in answers)
            some = some or cancelled > 0
            yield cancelled
