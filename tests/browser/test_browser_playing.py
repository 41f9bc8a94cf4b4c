"""What the plugin makes plays as it should in Chromium, with the players that websites use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.browser.chromium import Player, playing
from tests.browser.judge import (
    Played,
    Shown,
    change_problems,
    first_white,
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
# Held pictures are not changed in hls.js, which empties the buffer and loads anew from where it plays: in Chromium what
# follows shortly is taken for that place, and shown (see docs/transcode.md). Their raw times are judged in tests/media.
CHANGED = [
    *((name, player) for name in ("constant", "silent") for player in PLAYERS),
    *(("slides", player) for player in PLAYERS if player != "hls.js"),
]
# At which shares of its speed something is played once more, and how much before and after the flash.
SLOW, SLOWEST = 0.5, 0.06
LEAD_SECONDS = 0.15


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
    """Return where to seek to: the ends of stretches without a change, forth and back, and the first picture.

    Where pictures are held, it is back only as far as what was played first: Chromium answers a seek to shortly before
    what is buffered with the first picture there, and how shortly is twice the longest distance of pictures.
    """
    frame = source.frame / 2
    first, middle = source.pictures[0] + frame, source.pictures[len(source.pictures) // 2] + frame
    late, last = source.seconds * 0.75, source.seconds - 2 * source.frame
    return [first, middle, late, last, first] if source.holds else [late, middle, first, last]


def flashes(page: Player, source: Source, played: Played) -> dict[float, Shown | None]:
    """Return the picture with which each flash begins, None where there is none about the time that the source has it.

    A busy browser leaves pictures out; what it did not show is played once more, slowly. Seeks would not tell: they
    show what is decoded next to a time, which may be a picture off.
    """
    found = {}
    for time in source.flashes:
        pictures = played.pictures
        speed = SLOW
        while (first := first_white(pictures, time, source)) is None and speed > SLOWEST:
            pictures = [*pictures, *page.replay(time - LEAD_SECONDS, time + LEAD_SECONDS, speed)]
            speed /= 2
        found[time] = first
    return found


def heard_and_seen_problems(package: Package, player: str) -> str:
    """Play a package to its end, and tell what is wrong with it."""
    source = package.source
    with opened(package, player) as page:
        played = page.play_to_end()
        begun = flashes(page, source, played)
    return "\n".join(playing_problems(played, source) + sync_problems(played.beeps, begun, source))


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("name", SOURCES, scope="module")
def test_it_plays_from_beginning_to_end_in_sync(package: Package, player: str) -> None:
    assert heard_and_seen_problems(package, player) == ""


@pytest.fixture(scope="module")
def in_chunks(workshop: Workshop, ffmpeg: Ffmpeg) -> Package:
    return workshop.chunked("late-sound", ffmpeg)


@pytest.mark.parametrize("player", PLAYERS)
def test_what_was_made_in_chunks_plays_in_sync(in_chunks: Package, player: str) -> None:
    assert heard_and_seen_problems(in_chunks, player) == ""


@pytest.fixture(scope="module")
def in_opus(workshop: Workshop, ffmpeg: Ffmpeg) -> Package:
    return workshop.in_opus("late-sound", ffmpeg)


@pytest.mark.parametrize("player", PLAYERS)
def test_opus_plays_in_sync(in_opus: Package, player: str) -> None:
    assert heard_and_seen_problems(in_opus, player) == ""


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("name", SOURCES, scope="module")
def test_seeking_shows_the_picture_of_that_time(package: Package, player: str) -> None:
    problems = []
    with opened(package, player) as page:
        for place in places(package.source):
            problems += seeking_problems(page.seek(place), place, package.source)
        problems += page.told().errors
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(("name", "player"), CHANGED, scope="module")
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
        begun = flashes(page, package.source, played)
    problems = playing_problems(played, package.source) + sync_problems(played.beeps, begun, package.source)
    assert not problems, "\n".join(problems)
