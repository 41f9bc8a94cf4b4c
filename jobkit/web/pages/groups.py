"""The groups of jobs, a page at a time."""

from __future__ import annotations

from jobkit.web.page import Page, View

_PAGE = 50


async def make(view: View) -> Page:
    """Return the page."""
    below = view.said("below")
    found = await view.backstage.looks.look(
        ("groups", below), lambda: view.planes.store.groups(below=below, limit=_PAGE)
    )
    older = found[-1].id if len(found) == _PAGE else None
    return Page("groups.html", "Groups", {"groups": found, "below": below, "older": older})
