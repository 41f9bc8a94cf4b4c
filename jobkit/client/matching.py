"""Jobs by type, key and state, in pages: however many there are, none is held for long and no transaction is long."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from jobkit.ports.inspection import Inspection, JobState

# Few enough that the store has time for jobs in between.
PAGE = 250


async def pages(
    inspection: Inspection, type: str, key: str | None, states: Sequence[JobState], *, upto: int
) -> AsyncIterator[Sequence[str]]:
    """Yield ids of a type's jobs in these states, none of which is an end, up to the number `upto`, the latest first.

    Raises `Unavailable`.
    """
    for state in states:
        below: int | None = upto + 1
        while below is not None:
            ids, below = await inspection.unfinished(type, state, key=key, below=below, limit=PAGE)
            if ids:
                yield ids


async def count(inspection: Inspection, type: str, key: str | None, states: Sequence[JobState], *, upto: int) -> int:
    """Count such jobs. Raises `Unavailable`."""
    return sum([len(ids) async for ids in pages(inspection, type, key, states, upto=upto)])


async def cancel(
    inspection: Inspection,
    type: str,
    key: str | None,
    states: Sequence[JobState],
    *,
    upto: int,
    by: str,
    reason: str,
) -> AsyncIterator[int]:
    """Cancel such jobs, those too that come to such a state meanwhile; yield how many each transaction cancelled.

    Raises `Unavailable`.
    """
    some = True
    while some:
        some = False
        async for ids in pages(inspection, type, key, states, upto=upto):
            cancelled = sum(answer.cancelled for answer in await inspection.cancel(ids, by=by, reason=reason))
            some = some or cancelled > 0
            yield cancelled
