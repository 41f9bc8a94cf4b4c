"""What the plugin makes plays as it should in Chromium, with the players that websites use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.browser.chromium import Player, playing
from tests.browser.judge import (
    TIME_TOLERANCE,
    Shown,
    change_problems,
    playing_problems,
    seeking_problems,
    sync_problems,
)
from tests.media.ffmpegs import Ffmpeg
from tests.media.packages import LADDER, Package, Workshop
from tests.media.sources import SOURCES, Source

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Which player loads what: hls.js and shaka-player the HLS package, shaka-player the DASH manifest, too.
PLAYERS = {"hls.js": ("hls.js", "*.m3u8"), "shaka": ("shaka", "*.m3u8"), "shaka-dash": ("shaka", "*.mpd")}
# Names of sources are of the module's scope: then all tests of one package follow one another, most in one process,
# and it is made only once.
PLAYED_AS_FILES = ("constant", "late-sound", "late-picture", "phone")
CHANGED = ("constant", "slides", "silent")


@pytest.fixture
def package(name: str, workshop: Workshop, ffmpeg: Ffmpeg) -> Package:
    return workshop.package(name, ffmpeg)


@contextmanager
def opened(package: Package, player: str) -> Iterator[Player]:
    kind, pattern = PLAYERS[player]
    found = sorted((package.folder / "hls").glob(pattern))
    if not found:
        pytest.skip(f"the package has no {pattern}")
    with playing(kind, package.folder, str(found[0].relative_to(package.folder)), package.source.seconds) as page:
        yield page


def places(source: Source) -> list[float]:
    """Return where to seek to, forth and back: the ends of stretches without a change, and the first picture."""
    frame = source.frame / 2
    middle = source.pictures[len(source.pictures) // 2] + frame
    return [source.seconds * 0.75, middle, source.pictures[0] + frame, source.seconds - 2 * source.frame]


def flashes(page: Player, source: Source) -> dict[float, Shown | None]:
    """Return the picture with which each flash begins, None where there is none about the time that the source has it.

    They are sought: a busy browser leaves pictures out, but not after a seek.
    """
    return {time: first_white(page, time, source.frame) for time in source.flashes}


def first_white(page: Player, time: float, frame: float) -> Shown | None:
    """Return the first white picture about a time: the one that is shown then, or the next, with none before it."""
    step = frame / 2
    place = time + step
    while not (found := page.seek(place)).white:
        place += step
        if place > time + TIME_TOLERANCE:
            return None
    while place > time - TIME_TOLERANCE:
        place -= step
        earlier = page.seek(place)
        if not earlier.white:
            return found
        found = earlier
    return None


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("name", SOURCES, scope="module")
def test_it_plays_from_beginning_to_end_in_sync(package: Package, player: str) -> None:
    source = package.source
    with opened(package, player) as page:
        played = page.play_to_end()
        begun = flashes(page, source)
    problems = playing_problems(played, source) + sync_problems(played.beeps, begun, source)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("name", SOURCES, scope="module")
def test_seeking_shows_the_picture_of_that_time(package: Package, player: str) -> None:
    problems = []
    with opened(package, player) as page:
        for place in places(package.source):
            problems += seeking_problems(page.seek(place), place, package.source)
        problems += page.told().errors
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("name", CHANGED, scope="module")
def test_rendition_can_be_changed_while_it_plays(package: Package, player: str) -> None:
    with opened(package, player) as page:
        assert page.heights() == list(LADDER)
        page.play_to(0.1)
        for height in reversed(LADDER):
            page.change_to(height)
        played = page.play_to_end()
    problems = change_problems(played, package.source)
    assert not problems, "\n".join(problems)
    assert min(played.size) == LADDER[0]


@pytest.mark.parametrize("name", PLAYED_AS_FILES, scope="module")
def test_mp4_file_plays_from_beginning_to_end_in_sync(package: Package) -> None:
    rendition = package.result.renditions[0].blob
    with playing("native", package.folder, rendition, package.source.seconds) as page:
        played = page.play_to_end()
        begun = flashes(page, package.source)
    problems = playing_problems(played, package.source) + sync_problems(played.beeps, begun, package.source)
    assert not problems, "\n".join(problems)
