"""The ordered keys that stand still, however many, a page at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator

from jobkit.ports.inspection import Inspection, ParkedKey

_PAGE = 200


async def standing_still(inspection: Inspection) -> AsyncIterator[ParkedKey]:
    """Yield them in order of (type, key). Raises `Unavailable`."""
    after = ("", "")
    while page := await inspection.gaps(after=after, limit=_PAGE):
        for gap in page:
            yield gap
        after = (page[-1].type, page[-1].key)
