"""Drives Chromium, as Debian packages it, over one page that plays a package and records what it sees and hears."""

from __future__ import annotations

import heapq
import shutil
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.browser.judge import Played, Shown
from tests.browser.server import serve

if TYPE_CHECKING:
    # Only `make test-browser` installs it.
    from playwright.sync_api import Page

HERE = Path(__file__).parent
PLAYERS = HERE / "node_modules"
CHROMIUM = shutil.which("chromium")

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)
# How much longer than the media last a busy machine may take over any one thing.
_PATIENCE_SECONDS = 30
# By how much the media clock may go on more than time does before something was left out.
_JUMP_SECONDS = 0.25
# By how many readings of the clocks a beep is put into media time: what a busy machine delays is not the typical one.
_CLOCK_READINGS = 60


class Player:
    """One player on one page."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def play_to_end(self) -> Played:
        """Play until the player says that it has ended."""
        return _played(self._page.evaluate("playToEnd()"))

    def play_to(self, seconds: float) -> None:
        """Play on until the media clock has passed a time."""
        self._page.evaluate("(seconds) => playTo(seconds)", seconds)

    def heights(self) -> list[int]:
        """Return the shorter sides of the renditions that the player has found."""
        return sorted(self._page.evaluate("player.heights()"), reverse=True)

    def change_to(self, height: int) -> None:
        """Change to the rendition of a height, and wait until it is to be seen."""
        self._page.evaluate("(height) => changeTo(height)", height)

    def seek(self, seconds: float) -> Shown:
        """Seek, and return what is shown there."""
        return Shown(*self._page.evaluate("(seconds) => seek(seconds)", seconds))

    def replay(self, first: float, last: float, speed: float) -> list[Shown]:
        """Play a part once more at a share of its speed, and return the pictures shown meanwhile."""
        arguments = [max(0.0, first), last, speed]
        pictures = self._page.evaluate("([first, last, speed]) => replay(first, last, speed)", arguments)
        return [Shown(*picture) for picture in pictures]

    def told(self) -> Played:
        """Return what was recorded so far."""
        return _played(self._page.evaluate("told()"))


@contextmanager
def playing(
    kind: str,
    folder: Path,
    name: str,
    seconds: float,
    *,
    more: Mapping[str, Path] | None = None,
    clear_keys: Mapping[str, str] | None = None,
) -> Iterator[Player]:
    """Have a player (`hls.js`, `shaka` or `native`) load a file of a folder that lasts so many seconds.

    `more` are folders that are served beside it, as `media` is; `clear_keys` are keys by their ids, in hexadecimal.
    """
    # The media come from another origin than the page, as they do where people play them.
    pages = {"page": HERE / "page", "players": PLAYERS}
    with serve(pages) as site, serve({"media": folder, **(more or {})}) as media, _page() as page:
        page.goto(f"{site}/page/player.html")
        arguments = [kind, f"{media}/media/{name}", seconds + _PATIENCE_SECONDS, clear_keys]
        page.evaluate("([kind, url, patience, keys]) => load(kind, url, patience, keys)", arguments)
        yield Player(page)


@contextmanager
def _page() -> Iterator[Page]:
    from playwright.sync_api import sync_playwright

    with TemporaryDirectory() as profile, sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            headless=True,
            args=list(_FLAGS),
            ignore_default_args=["--mute-audio"],
        )
        try:
            yield context.pages[0]
        finally:
            context.close()


def _played(told: dict[str, Any]) -> Played:
    clock = told["clock"]
    return Played(
        errors=told["errors"],
        pictures=[Shown(*picture) for picture in told["pictures"]],
        beeps=[_in_media_time(heard, clock) for heard in told["beeps"]] if clock else [],
        jumps=list(_jumps(clock)),
        buffered=[(start, end) for start, end in told["buffered"]],
        duration=told["duration"],
        ended_at=told["currentTime"],
        size=(told["width"], told["height"]),
    )


def _in_media_time(heard: float, clock: Sequence[Sequence[float]]) -> float:
    """Return the media time of what the clock of the sound output says, by what both clocks said around that time."""
    around = heapq.nsmallest(_CLOCK_READINGS, clock, key=lambda reading: abs(reading[1] - heard))
    return heard + statistics.median(media - sound for media, sound, _ in around)


def _jumps(clock: Sequence[Sequence[float]]) -> Iterator[str]:
    """Tell where the media clock went on by more than the time that passed: there the player left something out."""
    for (media, _, wall), (next_media, _, next_wall) in pairwise(clock):
        if next_media - media > next_wall - wall + _JUMP_SECONDS:
            yield f"from {media:.3f} to {next_media:.3f} in {next_wall - wall:.3f} s"
