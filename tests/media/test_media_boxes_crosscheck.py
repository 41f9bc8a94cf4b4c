"""The reader of raw MP4 structure, against what ffprobe lists of files that both versions of ffmpeg wrote."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.media.ffmpegs import Ffmpeg
from workers.transcode import boxes
from workers.transcode.boxes import Movie, Sample

FFPROBE = shutil.which("ffprobe")

pytestmark = pytest.mark.skipif(FFPROBE is None, reason="ffprobe is not installed")

INPUTS = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=5")
SOUND = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=5")
CODECS = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "50", "-c:a", "aac")


def listed(path: Path) -> list[list[Sample]]:
    """Return the packets of each stream as ffprobe tells them, told to leave edit lists alone."""
    command = [FFPROBE or "", "-v", "error", "-ignore_editlist", "1", "-show_packets", "-of", "json", str(path)]
    shown = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    found: dict[int, list[Sample]] = {}
    for packet in shown["packets"]:
        found.setdefault(packet["stream_index"], []).append(sample_of(packet))
    return [found[index] for index in sorted(found)]


def sample_of(packet: dict[str, Any]) -> Sample:
    return Sample(
        decode_time=packet["dts"],
        composition_offset=packet["pts"] - packet["dts"],
        duration=packet.get("duration", 0),
        size=int(packet["size"]),
        keyframe="K" in packet["flags"],
        position=int(packet["pos"]),
    )


def comparable(samples: Sequence[Sample], *, shifted: bool) -> list[Sample]:
    """Return samples without what ffprobe makes up: durations of 0, and where offsets are negative a shift of all."""
    times = (samples[0].decode_time, samples[0].composition_offset) if shifted else (0, 0)
    return [
        sample._replace(
            decode_time=sample.decode_time - times[0],
            composition_offset=sample.composition_offset - times[1],
            duration=0,
        )
        for sample in samples
    ]


@pytest.mark.parametrize(
    "options", [(), ("-bf", "0", "-movflags", "+faststart"), ("-movflags", "+negative_cts_offsets")]
)
def test_index_of_a_whole_file(ffmpeg: Ffmpeg, tmp_path: Path, options: tuple[str, ...]) -> None:
    path = tmp_path / "whole.mp4"
    ffmpeg.run(*INPUTS, *SOUND, *CODECS, *options, str(path))
    movie = boxes.read(path)
    expected = listed(path)
    assert [track.handler for track in movie.tracks] == ["vide", "soun"]
    for track, samples in zip(movie.tracks, expected, strict=True):
        shifted = "+negative_cts_offsets" in options
        assert comparable(list(track.samples()), shifted=shifted) == comparable(samples, shifted=shifted)
        assert [each.duration for each in track.samples()] == [each.duration for each in samples]


@pytest.mark.parametrize("options", ["", "+frag_discont+negative_cts_offsets", "+dash"])
def test_fragments_of_a_package(ffmpeg: Ffmpeg, tmp_path: Path, options: str) -> None:
    package = ("-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod", "-hls_segment_type", "fmp4")
    flags = ("-hls_segment_options", f"movflags={options}") if options else ()
    ffmpeg.run(*INPUTS, *SOUND, *CODECS, *package, *flags, "index.m3u8", cwd=tmp_path)
    segments = sorted(tmp_path.glob("index*.m4s"))
    assert len(segments) == 3
    movie = boxes.read(tmp_path / "init.mp4")
    for segment in segments:
        assert_segment_as_listed(movie, segment, shifted="negative_cts" in options)


def assert_segment_as_listed(movie: Movie, segment: Path, *, shifted: bool) -> None:
    """Compare with the segment behind its init segment: of that, ffprobe makes a file it can read."""
    init = segment.with_name("init.mp4").read_bytes()
    whole = segment.with_suffix(".whole")
    whole.write_bytes(init + segment.read_bytes())
    found = boxes.samples(movie, [segment])
    for track, samples in zip(movie.tracks, listed(whole), strict=True):
        moved = [sample._replace(position=sample.position + len(init)) for sample in found[track.id]]
        assert comparable(moved, shifted=shifted) == comparable(samples, shifted=shifted)
