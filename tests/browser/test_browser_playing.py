"""What the plugin makes plays as it should in Chromium, with the players that websites use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.browser.chromium import Player, playing
from tests.browser.judge import playing_problems, seeking_problems
from tests.media.ffmpegs import Ffmpeg
from tests.media.packages import LADDER, Package, Workshop
from tests.media.sources import SOURCES, Source

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Which player loads what: hls.js and shaka-player the HLS package, shaka-player the DASH manifest, too.
PLAYERS = {"hls.js": ("hls.js", "*.m3u8"), "shaka": ("shaka", "*.m3u8"), "shaka-dash": ("shaka", "*.mpd")}
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
    """Return where to seek to: forth and back, into the middle of the last picture of a stretch, and into a flash."""
    frame = source.frame / 2
    flash = [source.flashes[-1] + frame] if source.flashes else []
    middle = source.pictures[len(source.pictures) // 2] + frame
    return [source.seconds * 0.75, *flash, middle, source.pictures[0] + frame, source.seconds - 2 * source.frame]


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("name", SOURCES)
def test_it_plays_from_beginning_to_end(package: Package, player: str) -> None:
    with opened(package, player) as page:
        played = page.play_to_end()
    problems = playing_problems(played, package.source)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("name", SOURCES)
def test_seeking_shows_the_picture_of_that_time(package: Package, player: str) -> None:
    problems = []
    with opened(package, player) as page:
        for place in places(package.source):
            problems += seeking_problems(page.seek(place), place, package.source)
        problems += page.told().errors
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("name", CHANGED)
def test_rendition_can_be_changed_while_it_plays(package: Package, player: str) -> None:
    with opened(package, player) as page:
        assert page.heights() == list(LADDER)
        page.play_to(0.1)
        for height in reversed(LADDER):
            page.change_to(height)
        played = page.play_to_end()
    problems = playing_problems(played, package.source)
    assert not problems, "\n".join(problems)
    assert min(played.size) == LADDER[0]


@pytest.mark.parametrize("name", PLAYED_AS_FILES)
def test_mp4_file_plays_from_beginning_to_end(package: Package) -> None:
    rendition = package.result.renditions[0].blob
    with playing("native", package.folder, rendition, package.source.seconds) as page:
        played = page.play_to_end()
    problems = playing_problems(played, package.source)
    assert not problems, "\n".join(problems)
