"""The report of the last drill, which is a page of its own."""

from __future__ import annotations

from pathlib import Path

import anyio

from jobkit.web.page import NotFound, Page, View


async def make(view: View) -> Page:
    """Return the page that shows it, or says how to get one."""
    path = view.backstage.settings.drill_report
    written = None if path is None else await _written(path)
    return Page("drill.html", "Drill", {"path": path, "written": written}, live=False)


async def report(view: View) -> bytes:
    """Return the report. Raises `NotFound` where there is none."""
    path = view.backstage.settings.drill_report
    if path is None or await _written(path) is None:
        raise NotFound("There is no report of a drill.")
    return await anyio.Path(path).read_bytes()


async def _written(path: Path) -> float | None:
    try:
        return (await anyio.Path(path).stat()).st_mtime
    except OSError:
        # Nobody has drilled yet; the page says what to do.
        return None
