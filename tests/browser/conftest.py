"""Which browser tests run: those that start Chromium are for `make test-browser`, which installs it and the players."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

from tests.browser.chromium import CHROMIUM, PLAYERS
from tests.media.fixtures import ffmpeg, workshop

__all__ = ["ffmpeg", "workshop"]

_WANTED = "BROWSER_TESTS" in os.environ


def _missing() -> str | None:
    if not _WANTED:
        return "`make test-browser` runs it"
    needed = {"Chromium": CHROMIUM, "the players": PLAYERS.is_dir(), "playwright": find_spec("playwright")}
    missing = [name for name, found in needed.items() if not found]
    return f"not installed: {', '.join(missing)}" if missing else None


MISSING = _missing()
if MISSING and _WANTED and os.environ.get("CI"):
    raise pytest.UsageError(MISSING)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Skip what cannot run here."""
    if MISSING and item.get_closest_marker("browser") is not None:
        item.add_marker(pytest.mark.skip(reason=MISSING))
