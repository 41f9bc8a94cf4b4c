"""Reading all of something that a store gives in pages, while it goes on changing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from jobkit.ports.inspection import Inspection, KeyRecord, LoggedEntry

_PAGE = 1_000


async def all_keys(inspection: Inspection, type: str = "") -> AsyncIterator[KeyRecord]:
    """Yield every key in order of (type, key), or those of one type. Raises `Unavailable`."""
    after = (type, "")
    while page := await inspection.keys(after=after, limit=_PAGE):
        for key in page:
            if type and key.type != type:
                return
            yield key
        after = (page[-1].type, page[-1].key)


async def log_pages(inspection: Inspection, type: str, key: str) -> AsyncIterator[Sequence[LoggedEntry]]:
    """Yield a key's log in pages, to the end that it has by then. Raises `Unavailable`."""
    after = 0
    while page := await inspection.log(type, key, after=after, limit=_PAGE):
        yield page
        after = page[-1].position
