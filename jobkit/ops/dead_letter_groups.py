"""Dead letters by what went wrong: what differs from job to job, such as numbers and ids, is left out."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from jobkit.ports.inspection import DeadLetter, Inspection

_PAGE = 500
# So many letters are looked through; who has more finds the rest when these are gone.
LOOKED_AT = 5_000
_VARIES = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|0x[0-9a-f]+|\d+(?:\.\d+)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Dead letters of one type with one kind of error; `last` is the latest of them."""

    type: str | None
    error: str
    count: int
    last: DeadLetter


def error_of(letter: DeadLetter) -> str:
    """Return what went wrong with a letter, without what differs from job to job."""
    said = letter.failures[-1].error if letter.failures else letter.reason
    return _VARIES.sub("…", said.splitlines()[0] if said else "?")[:300]


async def letters_of(inspection: Inspection, type: str | None, error: str | None) -> Sequence[DeadLetter]:
    """Return the dead letters of a type with an error as `error_of` says it, the oldest first. Raises `Unavailable`."""
    return [one async for one in _every(inspection, type) if error is None or error_of(one) == error]


async def groups(inspection: Inspection) -> Sequence[ErrorGroup]:
    """Return the dead letters by type and error, the largest group first. Raises `Unavailable`."""
    found: dict[tuple[str | None, str], ErrorGroup] = {}
    async for letter in _every(inspection, None):
        name = letter.type, error_of(letter)
        count = found[name].count if name in found else 0
        found[name] = ErrorGroup(*name, count + 1, letter)
    return sorted(found.values(), key=lambda group: (-group.count, group.error))


async def _every(inspection: Inspection, type: str | None) -> AsyncIterator[DeadLetter]:
    after = looked = 0
    while looked < LOOKED_AT and (page := await inspection.dead(type=type, limit=_PAGE, after=after)):
        looked += len(page)
        after = page[-1].number
        for letter in page:
            yield letter
