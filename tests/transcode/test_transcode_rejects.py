"""What becomes of sources that cannot be taken: a `Reject` that says why, and nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest
from transcode_bench import Desk, Samples, rejected, script

from jobkit import Reject


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Whether they can be taken is known before any ffmpeg is run, so none is here."""
    desk = Desk(tmp_path)
    desk.settings["ffmpeg"] = script(tmp_path / "no-ffmpeg", "exit 1")
    return desk


@pytest.mark.parametrize(("name", "codec"), [("sound.m4a", "aac"), ("sound.wav", "pcm_s16le"), ("sound.mp3", "mp3")])
async def test_sound_alone_is_rejected(desk: Desk, samples: Samples, tmp_path: Path, name: str, codec: str) -> None:
    codec = "libmp3lame" if codec == "mp3" else codec
    samples.ffmpeg("-f", "lavfi", "-i", "sine", "-t", "0.5", "-c:a", codec, str(tmp_path / name))
    assert "no video, only sound" in await rejected(desk, tmp_path / name)


async def test_sound_with_cover_art_is_rejected(desk: Desk, samples: Samples, tmp_path: Path) -> None:
    samples.ffmpeg("-f", "lavfi", "-i", "color=red:size=64x64", "-frames:v", "1", str(tmp_path / "c.png"))
    song = tmp_path / "song.m4a"
    inputs = ("-f", "lavfi", "-t", "0.5", "-i", "sine", "-i", str(tmp_path / "c.png"), "-map", "0", "-map", "1")
    samples.ffmpeg(*inputs, "-c:v", "mjpeg", "-c:a", "aac", "-disposition:v", "attached_pic", str(song))
    assert "cover picture" in await rejected(desk, song)


@pytest.mark.parametrize("content", [b"hello world\n" * 50, os.urandom(5000), b"\0" * 5000, b"\x89PNG\r\n\x1a\n"])
async def test_what_is_no_media_is_rejected(desk: Desk, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.mp4").write_bytes(content)
    assert "not a media file" in await rejected(desk, tmp_path / "x.mp4")


async def test_empty_file_is_rejected(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "x.mp4").touch()
    assert "is empty" in await rejected(desk, tmp_path / "x.mp4")


async def test_mp4_without_its_index_is_rejected(desk: Desk, samples: Samples) -> None:
    late_index = samples.derive(samples.plain(), "late.mp4", "-movflags", "0")
    assert "index (moov) is missing" in await rejected(desk, samples.cut(late_index, 0.8))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
async def test_mp4_that_is_cut_in_its_data_is_rejected(desk: Desk, samples: Samples, share: float) -> None:
    assert "cut short" in await rejected(desk, samples.cut(samples.plain(), share))


async def test_matroska_that_is_cut_is_rejected(desk: Desk, samples: Samples) -> None:
    whole = samples.make("whole.mkv", seconds=3)
    assert "cut short" in await rejected(desk, samples.cut(whole, 0.5))


@pytest.mark.parametrize(
    ("what", "boxes"), [("video", {b"avc1": b"zzz1"}), ("sound", {b"mp4a": b"zzza", b"esds": b"zsds"})]
)
async def test_coding_that_is_not_known_is_rejected(
    desk: Desk, samples: Samples, tmp_path: Path, what: str, boxes: dict[bytes, bytes]
) -> None:
    content = samples.plain().read_bytes()
    for box, unknown in boxes.items():
        content = content.replace(box, unknown)
    (tmp_path / "future.mp4").write_bytes(content)
    assert f"its {what} is coded in a way" in await rejected(desk, tmp_path / "future.mp4")


async def test_video_that_no_picture_can_be_decoded_of_is_rejected(desk: Desk, samples: Samples) -> None:
    whole = samples.make("headless.ts", seconds=2, options=("-g", "1000"))
    content = whole.read_bytes()
    headless = whole.with_name("tail.ts")
    headless.write_bytes(content[len(content) // 2 :])
    assert "no picture" in await rejected(desk, headless)


@pytest.mark.parametrize("target", ["inside", "outside"])
@pytest.mark.parametrize("disguise", ["{kind}", "mp4"])
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{path}\n#EXT-X-ENDLIST\n"),
        ("ffconcat", "ffconcat version 1.0\nfile '{path}'\n"),
        ("txt", "file '{path}'\n"),
        ("sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n"),
    ],
)
async def test_playlist_that_names_another_file_is_rejected(
    desk: Desk, samples: Samples, tmp_path: Path, kind: str, text: str, disguise: str, target: str
) -> None:
    victim = Path(desk.place(samples.plain())) if target == "inside" else samples.plain()
    playlist = tmp_path / f"list.{disguise.format(kind=kind)}"
    playlist.write_text(text.format(path=victim))
    assert "not a media file" in await rejected(desk, playlist)


@pytest.mark.parametrize("name", ["%d.jpg", "*.jpg"])
async def test_name_that_looks_like_a_pattern_opens_no_sequence(desk: Desk, samples: Samples, name: str) -> None:
    samples.ffmpeg("-i", str(samples.plain()), "-frames:v", "2", f"file:{desk.sources}/%d.jpg")
    with pytest.raises(Reject, match="does not exist"):
        await desk.run(str(desk.sources / name))


async def test_directory_and_pipe_are_rejected_at_once(desk: Desk) -> None:
    (desk.sources / "folder.mp4").mkdir()
    os.mkfifo(desk.sources / "pipe.mp4")
    with pytest.raises(Reject, match="directory"):
        await desk.run("folder.mp4")
    with pytest.raises(Reject, match="not a regular file"):
        await desk.run("pipe.mp4")


async def test_source_that_has_vanished_is_rejected(desk: Desk, samples: Samples) -> None:
    path = desk.place(samples.plain())
    await anyio.Path(path).unlink()
    with pytest.raises(Reject, match="does not exist"):
        await desk.run(path)


async def test_too_long_a_source_is_rejected_with_the_setting_named(desk: Desk, samples: Samples) -> None:
    desk.settings["max_duration"] = 1.5
    assert "JOBKIT_TRANSCODE_MAX_DURATION" in await rejected(desk, samples.plain())


async def test_too_large_pictures_are_rejected_with_the_setting_named(desk: Desk, samples: Samples) -> None:
    desk.settings["max_pixels"] = 320 * 180 - 1
    assert "JOBKIT_TRANSCODE_MAX_PIXELS" in await rejected(desk, samples.plain())
