"""Opus beside AAC: a group and a set of its own, right to the sample where nobody applies edit lists."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from opus_packages import decoded, heard, lag
from transcode_bench import Desk, Samples

from tests.media import rawtimes
from tests.media.playlists import read_master, read_playlist
from workers.transcode.box_reader import MalformedMp4
from workers.transcode.box_writer import box
from workers.transcode.hls import parse_master_playlist
from workers.transcode.sound_codecs import pre_skip, without_pre_skip

OPUS = """
[profiles.opus]
[[profiles.opus.audio]]
codec = "aac"
[[profiles.opus.audio]]
codec = "opus"
channel_bitrate = 96000
"""
# A sound that is nowhere like itself, so that it can be told by how much it is late; with so many bits it is coded as
# a wave, and not as speech.
CHIRP = "aevalsrc=0.4*sin(2*PI*(200*t+700*t*t)):s=48000"


def description(*details: bytes, kind: str = "Opus") -> bytes:
    """Return the body of a `stsd` box with one entry of sound."""
    return struct.pack(">II", 0, 1) + box(kind, bytes(28), *details)


def delayed(samples: int) -> bytes:
    return box("dOps", struct.pack(">BBHIhB", 0, 2, samples, 48_000, 0, 0))


def test_a_decoder_is_told_to_leave_nothing_out() -> None:
    told = description(box("btrt", bytes(12)), delayed(312))
    assert pre_skip(told) == 312
    assert without_pre_skip(told) == description(box("btrt", bytes(12)), delayed(0))


def test_sound_of_another_format_is_described_as_it_is() -> None:
    told = description(box("esds", bytes(30)), kind="mp4a")
    assert pre_skip(told) == 0
    assert without_pre_skip(told) == told


@pytest.mark.parametrize("details", [(), (box("dOps", b"\0\2\1"),)])
def test_opus_without_what_a_decoder_needs_is_an_error(details: tuple[bytes, ...]) -> None:
    with pytest.raises(MalformedMp4, match="dOps"):
        pre_skip(description(*details))


async def test_opus_is_there_beside_aac_in_each_language_and_right_to_the_sample(
    desk: Desk, samples: Samples, ffmpeg: str, tmp_path: Path
) -> None:
    (tmp_path / "profiles.toml").write_text(OPUS)
    desk.settings |= {"ffmpeg": ffmpeg, "profiles": tmp_path / "profiles.toml", "profile": "opus"}
    chirp = samples.make("chirp.mov", size="64x36", seconds=2.2, sound=CHIRP, options=("-c:a", "pcm_s16le"))
    maps = ("-map", "0:v", "-map", "0:a", "-map", "0:a")
    tags = ("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=ger", "-disposition:a:1", "0")
    source = samples.derive(chirp, "languages.mov", *maps, *tags)
    result = await desk.run(desk.place(source))
    assert result.warnings == ()
    assert [(each.codecs, each.language, each.playlist) for each in result.sounds] == [
        ("mp4a.40.2", "en", "hls/audio/index.m3u8"),
        ("mp4a.40.2", "de", "hls/audio-2/index.m3u8"),
        ("opus", "en", "hls/audio-opus/index.m3u8"),
        ("opus", "de", "hls/audio-2-opus/index.m3u8"),
    ]
    assert not list(desk.blobs.glob("sound*"))

    playlist = read_playlist(desk.blobs / "hls/audio-opus/index.m3u8")
    init = playlist.init.read_bytes()
    at = init.index(b"dOps")
    assert init[at + 6 : at + 8] == b"\0\0"
    assert b"edts" not in init
    packets = [packet for segment in rawtimes.segments(playlist) for packet in segment.tracks["soun"]]
    assert [packet.decoded * 48_000 for packet in packets] == [960 * number for number in range(len(packets))]
    found, wanted = heard(playlist), decoded(source)
    assert len(found) == 960 * len(packets)
    assert 0 <= len(found) - len(wanted) < 960
    # Silent for as long as the encoder is late, and from then on each sample is at its time.
    assert max(map(abs, found[:150])) < 500
    assert [lag(found, wanted, first, 1200, 400) for first in (400, 50_000, 103_000)] == [0, 0, 0]

    master = parse_master_playlist((desk.blobs / "hls/master.m3u8").read_text())
    told = [(each.codecs.split(",")[-1], each.sound) for each in master.variants if each.size]
    assert told == [("mp4a.40.2", "sound"), ("opus", "sound-opus")]
    groups = [(each.group, each.name, each.default) for each in master.alternatives]
    assert groups == [
        ("sound", "en", True),
        ("sound", "de", False),
        ("sound-opus", "en", True),
        ("sound-opus", "de", False),
    ]
    for variant in read_master(desk.blobs / "hls/master.m3u8").variants:
        assert variant.sound is not None
        assert rawtimes.segment_problems(rawtimes.segments(variant.sound), 0.001) == []
    manifest = (desk.blobs / "hls/manifest.mpd").read_text()
    assert manifest.count('value="main"') == manifest.count('value="alternate"') == 2
    assert 'id="audio-opus"' in manifest
    assert manifest.count('codecs="opus"') == 2


async def test_sound_that_begins_within_a_packet_begins_with_the_next_one(
    desk: Desk, samples: Samples, tmp_path: Path
) -> None:
    """In a transport stream nothing is filled before it; no segment can begin before 0."""
    (tmp_path / "profiles.toml").write_text(OPUS)
    desk.settings |= {"profiles": tmp_path / "profiles.toml", "profile": "opus"}
    source = samples.make("late.ts", size="64x36", seconds=0.6, sound="sine=sample_rate=48000,asetpts=PTS+480")
    result = await desk.run(desk.place(source))
    assert result.warnings == ()
    for sound in result.sounds:
        first = rawtimes.segments(read_playlist(desk.blobs / sound.playlist))[0].tracks["soun"][0]
        assert 0 <= first.decoded < 0.03
