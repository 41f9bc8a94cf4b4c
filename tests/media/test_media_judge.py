"""The judge of raw times can fail: on packages as ffmpeg writes them unasked, and on bent ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.media.ffmpegs import Ffmpeg
from tests.media.packages import Workshop
from tests.media.playlists import Variant, read_playlist
from tests.media.rawtimes import timing_problems
from tests.media.sources import SOURCES

# Writes the times as they are shown, and no edit list.
TRUE_TIMES = ("-hls_segment_options", "movflags=+frag_discont+negative_cts_offsets:use_editlist=0")
OUT_OF_ORDER = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "50", "-sc_threshold", "0", "-c:a", "aac")


class Folder:
    """An MP4 file, and a package of it that ffmpeg's own packager wrote."""

    def __init__(self, folder: Path) -> None:
        self.rendition = folder / "180p.mp4"
        self.playlist = folder / "index.m3u8"

    def make(self, source: Path, ffmpeg: Ffmpeg, *options: str) -> None:
        ffmpeg.run("-i", str(source), *OUT_OF_ORDER, str(self.rendition))
        package = ("-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod", "-hls_segment_type", "fmp4")
        output = (*package, *options, self.playlist.name)
        ffmpeg.run("-i", str(self.rendition), "-c", "copy", *output, cwd=self.rendition.parent)

    def problems(self) -> str:
        variant = Variant({}, read_playlist(self.playlist), None)
        return "\n".join(timing_problems(variant, self.rendition, SOURCES["constant"].frame))


@pytest.fixture(scope="module")
def made(workshop: Workshop, ffmpeg: Ffmpeg, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("true-times")
    Folder(folder).make(workshop.source(SOURCES["constant"]), ffmpeg, *TRUE_TIMES)
    return folder


@pytest.fixture
def true_times(made: Path, tmp_path: Path) -> Folder:
    """A package with true times, to be bent."""
    return Folder(shutil.copytree(made, tmp_path / "copy"))


def test_true_times_pass(true_times: Folder) -> None:
    assert true_times.problems() == ""


@pytest.mark.parametrize("name", ["constant", "late-sound", "late-picture"])
def test_times_that_need_an_edit_list_are_told(workshop: Workshop, ffmpeg: Ffmpeg, tmp_path: Path, name: str) -> None:
    folder = Folder(tmp_path)
    folder.make(workshop.source(SOURCES[name]), ffmpeg)
    assert "(picture) are off by up to" in folder.problems()


def test_playlist_that_tells_other_lengths_is_told(true_times: Folder) -> None:
    told = true_times.playlist.read_text()
    true_times.playlist.write_text(told.replace("#EXTINF:2.0", "#EXTINF:2.1", 1))
    assert "index1.m4s begins -100.0 ms off the time that its playlist says" in true_times.problems()


def test_segments_in_the_wrong_order_are_told(true_times: Folder) -> None:
    first, second = (true_times.playlist.with_name(f"index{number}.m4s") for number in (0, 1))
    earlier, later = first.read_bytes(), second.read_bytes()
    first.write_bytes(later)
    second.write_bytes(earlier)
    assert "there is a gap of" in true_times.problems()


def test_missing_segment_is_told(true_times: Folder) -> None:
    lines = true_times.playlist.read_text().splitlines(keepends=True)
    at = lines.index("index1.m4s\n")
    true_times.playlist.write_text("".join(lines[: at - 1] + lines[at + 1 :]))
    assert "packets of sound are not the" in true_times.problems()
