"""The audit log: what people have changed by hand."""

from __future__ import annotations

from jobkit.web.page import Page, View

_PAGE = 100


async def make(view: View) -> Page:
    """Return one page of it, the latest first."""
    below = view.number("below", 1, most=1 << 62) if view.said("below") else None
    found = await view.planes.inspection.actions(below=below, limit=_PAGE)
    return Page(
        "audit.html",
        "Audit log",
        {"actions": found, "older": found[-1].number if len(found) == _PAGE else None, "below": below},
    )
