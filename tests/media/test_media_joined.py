"""Recordings one after another in a file, whose clock starts anew with each: nothing is lost, and sync is kept."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.media import content, rawtimes
from tests.media.ffmpegs import Ffmpeg
from tests.media.packages import Workshop, transcoded
from tests.media.playlists import read_master
from tests.media.sources import picture, sound

pytestmark = pytest.mark.slow

SECONDS, RATE, PARTS = 2, 25, 3
# A FLV file begins with 9 bytes, and the size of the tag that does not precede the first.
_FLV_HEADER = 9 + 4
# Lips may be off by this before anybody sees it.
TOLERANCE = 0.015

_VARIABLE = ("-vf", "select='lt(mod(n,25),20)'", "-fps_mode", "vfr")
KINDS = {
    "ordered": ("-bf", "0", "-c:a", "libmp3lame", "-ar", "44100"),
    "reordered": ("-bf", "2", "-c:a", "aac"),
    "reordered-variable": ("-bf", "3", "-c:a", "aac", *_VARIABLE),
    "late-sound": ("-bf", "2", "-c:a", "aac", "-af", "atrim=start=0.4"),
    "silent": ("-bf", "2", "-an"),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def joined(kind: str) -> Callable[[Ffmpeg, Path], None]:
    """Return what makes a file of several recordings, as a camera that went on writing after a break leaves it."""

    def make(ffmpeg: Ffmpeg, path: Path) -> None:
        inputs = (*picture(SECONDS, RATE), *sound(SECONDS))
        ffmpeg.run(*inputs, "-c:v", "libx264", "-preset", "veryfast", *KINDS[kind], str(path))
        recording = path.read_bytes()
        path.write_bytes(recording + (PARTS - 1) * recording[_FLV_HEADER:])

    return make


def pictures_in(path: Path) -> int:
    """Count the pictures of an FLV file by its tags: those of video that hold coded pictures."""
    data, at, found = path.read_bytes(), _FLV_HEADER, 0
    while at + 11 <= len(data):
        size = struct.unpack(">I", b"\0" + data[at + 1 : at + 4])[0]
        # Type 9 is video; its second byte is 1 where it holds coded pictures.
        found += data[at] == 9 and data[at + 12] == 1
        at += 11 + size + 4
    return found


def test_all_pictures_are_kept_and_each_beep_comes_with_its_flash(
    kind: str, workshop: Workshop, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    source = workshop.made(f"joined-{kind}", ".flv", joined(kind))
    folder, result = transcoded(source, tmp_path / "job", ffmpeg, ladder=(120,))
    assert result.warnings == (f"parts of the source whose clock starts anew, played one after another: {PARTS}",)
    for rendition in result.renditions:
        path = folder / rendition.blob
        assert len(rawtimes.presented(path)["vide"]) == pictures_in(source)
        flashes, beeps = content.flashes(path), content.beeps(path)
        assert len(flashes) == PARTS * SECONDS
        if kind != "silent":
            apart = [beep - flash for flash, beep in zip(flashes, beeps, strict=True)]
            assert max(map(abs, apart)) <= TOLERANCE, apart
    for variant in read_master(folder / "hls" / "master.m3u8").variants:
        # Behind the end of one recording the next one's first picture may be a few late.
        problems = rawtimes.timing_problems(variant, folder / f"{variant.name}.mp4", 4 / RATE)
        assert not problems, "\n".join(problems)
