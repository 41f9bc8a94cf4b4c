"""Which browser tests run: those that start Chromium are for `make test-browser`, which installs it and the players.

`BROWSER_TESTS=slice` plays some kinds of source in one player each, with one ffmpeg.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

from tests.browser.chromium import CHROMIUM, PLAYERS
from tests.media.fixtures import ffmpeg, workshop

__all__ = ["ffmpeg", "workshop"]

# What is played of the older ffmpeg's.
_OF_DEBIAN = ("constant", "slides", "late-sound")
_SLICE = {
    ("constant", "hls.js"),
    ("slides", "shaka"),
    ("late-sound", "shaka-dash"),
    ("late-picture", "hls.js"),
    ("phone", "shaka"),
    ("silent", "shaka-dash"),
}
_WANTED = os.environ.get("BROWSER_TESTS")


def _missing(**more: bool) -> str | None:
    if not _WANTED:
        return "`make test-browser` runs it"
    needed = {"Chromium": CHROMIUM, "playwright": find_spec("playwright"), **more}
    missing = [name for name, found in needed.items() if not found]
    return f"not installed: {', '.join(missing)}" if missing else None


# What keeps pages from being looked at, and what keeps packages from being played.
PAGES_MISSING = _missing()
MISSING = _missing(**{"the players": PLAYERS.is_dir()})
if MISSING and _WANTED and _WANTED != "slice" and os.environ.get("CI"):
    raise pytest.UsageError(MISSING)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Skip what cannot run here."""
    plays = {"workshop", "hls_js"} & set(getattr(item, "fixturenames", ()))
    missing = MISSING if plays else PAGES_MISSING
    if missing and item.get_closest_marker("browser") is not None:
        item.add_marker(pytest.mark.skip(reason=missing))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Play everything that one ffmpeg made, and some of the other: its raw times are all judged without playing."""
    left_out = [item for item in items if _left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _left_out(item: pytest.Item) -> bool:
    params = getattr(getattr(item, "callspec", None), "params", {})
    name, ffmpeg = params.get("name"), params.get("ffmpeg")
    if _WANTED == "slice":
        played = item.name.startswith("test_it_plays") and (name, params["player"]) in _SLICE
        return not played or ffmpeg == "debian"
    return ffmpeg == "debian" and name is not None and name not in _OF_DEBIAN
