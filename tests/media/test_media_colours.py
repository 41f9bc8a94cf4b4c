"""Colours come out as they went in, at every size, for players that heed the tags and for those that guess."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.media.colours import COLOUR_SOURCES, PATCHES, RGB, ColourSource, seen, tags
from tests.media.ffmpegs import Ffmpeg, any_installed
from tests.media.packages import Workshop, transcoded
from tests.media.playlists import read_master
from workers.transcode import boxes
from workers.transcode.boxes import Colour

pytestmark = pytest.mark.slow

# One above and one below the size from which on players guess BT.709.
LADDER = (720, 240)
BT709 = (1, 1, 1, 1)
TOLERANCE = 6
# What a patch that is as bright as white has to keep of it, where brighter colours are possible.
MAPPED_WHITE = 190


@dataclass(frozen=True, slots=True)
class Coloured:
    source: ColourSource
    folder: Path
    renditions: list[Path]


@pytest.fixture(scope="module", params=COLOUR_SOURCES)
def coloured(
    request: pytest.FixtureRequest, workshop: Workshop, ffmpeg: Ffmpeg, tmp_path_factory: pytest.TempPathFactory
) -> Coloured:
    source = COLOUR_SOURCES[request.param]
    file = workshop.made(f"colours-{source.name}", source.suffix, source.make)
    made, result = transcoded(file, tmp_path_factory.mktemp(source.name) / "job", ffmpeg, ladder=LADDER)
    return Coloured(source, made, [made / rendition.blob for rendition in result.renditions])


def furthest(found: list[RGB]) -> int:
    return max(
        abs(a - b) for patch, wanted in zip(found, PATCHES, strict=True) for a, b in zip(patch, wanted, strict=True)
    )


def test_patches_have_their_colours(coloured: Coloured) -> None:
    for path in coloured.renditions:
        found = seen(path)
        if coloured.source.hdr:
            assert_mapped(found)
        else:
            assert furthest(found) <= TOLERANCE, found


def assert_mapped(found: list[RGB]) -> None:
    """Check what mapping a wider range keeps: white is bright, grey is grey and darker, hues stay what they are."""
    red, green, blue, white, grey, skin, black, _ = found
    assert min(white) >= MAPPED_WHITE, white
    assert max(white) - min(white) <= TOLERANCE
    assert max(grey) - min(grey) <= TOLERANCE
    assert 90 <= grey[0] <= 150, grey
    assert max(black) <= TOLERANCE
    assert red.index(max(red)) == 0
    assert green.index(max(green)) == 1
    assert blue.index(max(blue)) == 2
    assert skin[0] > skin[1] > skin[2]


def test_pictures_say_how_they_are_coded(coloured: Coloured) -> None:
    for path in coloured.renditions:
        assert tags(path) == BT709


def test_files_and_init_segments_say_how_pictures_are_coded(coloured: Coloured) -> None:
    inits = [variant.main.init for variant in read_master(coloured.folder / "hls" / "master.m3u8").variants]
    for path in (*coloured.renditions, *inits):
        video = boxes.read(path).track("vide")
        assert video is not None
        assert video.colour == Colour("nclx", 1, 1, 1, full_range=False)


def test_master_playlist_does_not_promise_hdr(coloured: Coloured) -> None:
    for variant in read_master(coloured.folder / "hls" / "master.m3u8").variants:
        assert variant.attributes.get("VIDEO-RANGE", "SDR") == "SDR"


def test_judge_sees_colours_that_are_coded_otherwise_than_tagged(tmp_path: Path) -> None:
    right, wrong = COLOUR_SOURCES["bt709"], COLOUR_SOURCES["bt601"]
    mixed = ColourSource("mixed", (wrong.filters[0], right.filters[1]), right.encoder)
    for source in (right, mixed):
        source.make(any_installed(), tmp_path / f"{source.name}.mp4")
    assert furthest(seen(tmp_path / "bt709.mp4")) <= TOLERANCE
    assert furthest(seen(tmp_path / "mixed.mp4")) > 3 * TOLERANCE
