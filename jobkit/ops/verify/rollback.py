"""Is the store older than what was done with it: restored from a backup, or failed over to a replica that lagged?

Files tell. Each lies under the token of the attempt that wrote it, and a token is its key's mark before any work
begins. So a file under a token above the mark was written by an attempt that the store has forgotten. What is told are
the keys that have such files and jobs that have yet to end: those may have been done before. Of jobs that wrote no
files nothing is left to tell.

So do messages: those of jobs that it has forgotten, and whose sequences it has given to others since, are dead letters.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from jobkit.model.blob_location import place_of, unquoted
from jobkit.model.invariant import Invariant
from jobkit.ops.verify.violation import Violation
from jobkit.ops.verify.whereabouts import NAMED, Place
from jobkit.ports.inspection import JobState
from jobkit.ports.planes import Planes
from jobkit.ports.rules import SUPERSEDED

_PAGE = 500


async def check_rollback(planes: Planes) -> list[Violation]:
    """Find the keys whose marks lie below what was written under them. Raises `Unavailable`."""
    findings = []
    async for keyed, token in _highest_tokens(planes):
        type, key = (unquoted(part) for part in keyed.split("/"))
        # Of a name that is shortened nothing can be made.
        if type is not None and key is not None:
            findings += await _compare(planes, type, key, token)
    return findings


async def check_superseded(planes: Planes) -> list[Violation]:
    """Find jobs that the store has forgotten and whose sequences it gave to others. Raises `Unavailable`."""
    letters: dict[str, list[str]] = {}
    after = 0
    while page := await planes.inspection.dead(limit=_PAGE, after=after):
        after = page[-1].number
        for letter in page:
            if letter.reason == SUPERSEDED:
                letters.setdefault(f"{letter.type}/{letter.key}", []).append(str(letter.number))
    return [
        Violation(
            Invariant.NOTHING_LOST,
            where,
            "the store has lost jobs that it had accepted, and has given their sequences to others since, which go on: "
            f"dead letters {Place(len(numbers), numbers[:NAMED])}; `jobkit dead requeue` puts them behind the others, "
            "`purge` gives them up",
        )
        for where, numbers in letters.items()
    ]


async def _highest_tokens(planes: Planes) -> AsyncIterator[tuple[str, int]]:
    """Yield keys, as locations have them, with the highest token of the files that lie side by side there."""
    current, highest = "", 0
    async for stored in planes.blobs.objects():
        place = place_of(stored.location)
        if place is None:
            continue
        if place.keyed != current:
            if current:
                yield current, highest
            current, highest = place.keyed, 0
        highest = max(highest, place.token)
    if current:
        yield current, highest


async def _compare(planes: Planes, type: str, key: str, token: int) -> list[Violation]:
    # Read after the files were listed: on a live system the mark only rises.
    record = await planes.inspection.key(type, key)
    if record is None or record.token >= token:
        return []
    ids = []
    for state in (JobState.QUEUED, JobState.RUNNING):
        ids += [job.id for job in await planes.inspection.jobs(type=type, key=key, state=state, limit=NAMED)]
    if not ids:
        return []
    problem = (
        f"files were written under token {token}, and the store knows of {record.token} at most: it is older than what "
        "was done, as after restoring a backup; jobs of this key that have yet to end may have been done before, and "
        f"run again: {Place(len(ids), ids[:NAMED])}"
    )
    return [Violation(Invariant.SINGLE_EFFECT, f"{type}/{key}", problem)]
