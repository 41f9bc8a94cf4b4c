"""Each check must be able to fail: outputs with one thing wrong, real files and made-up facts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from transcode_bench import Samples

from jobkit.model.clock import SystemClock
from workers.transcode.check_outputs import _check_sounds
from workers.transcode.errors import OutputUnfit
from workers.transcode.hls import MediaPlaylist, Segment
from workers.transcode.ladder import Size
from workers.transcode.media import Colour, Media, SoundFile
from workers.transcode.output_problems import (
    BT709,
    alignment_problems,
    missing_files,
    package_problems,
    poster_problems,
    rendition_problems,
)
from workers.transcode.plan import TranscodePlan
from workers.transcode.probe import ProbeTask, Unusable, probe
from workers.transcode.process import Bounds, Limits, Supervisor

SIZE = Size(320, 180)


async def look(path: Path, *, decode: bool = True, formats: str = "mov,hls,image2") -> Media | Unusable:
    supervisor = Supervisor(
        Limits(4096, 60, 100, 0), Bounds(stall=20, total=60, grace=1), SystemClock(), structlog.get_logger()
    )
    (found,) = await probe(supervisor, [ProbeTask(str(path), formats, decode, 2)], cwd=path.parent)
    return found


async def facts(path: Path) -> Media:
    """Return what a file is, as if it said that it is BT.709."""
    found = await look(path)
    assert isinstance(found, Media)
    return changed(found, colour=BT709)


def changed(media: Media, *, audio: dict[str, Any] | None = None, **video: Any) -> Media:
    """Return the facts with some of the video's (or the audio's) replaced."""
    track = None if media.audio is None else media.audio.model_copy(update=audio or {})
    return media.model_copy(update={"video": media.video.model_copy(update=video), "audio": track})


async def test_a_good_rendition_passes(samples: Samples) -> None:
    source = await facts(samples.plain())
    assert rendition_problems(source, SIZE, 1, source) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"width": 318}, "318x180"),
        ({"height": 182}, "320x182"),
        ({"rotation": 90}, "upright"),
        ({"pixel_aspect": (4, 3)}, "upright"),
        ({"codec": "hevc"}, "hevc"),
        ({"colour": Colour(2, 2, 2, 0)}, "marked as (2, 2, 2, 0)"),
        ({"pixel_format": "yuv444p"}, "yuv444p"),
        ({"told": None}, "not h264"),
        ({"decoded": 49}, "49 of its 50"),
        ({"end": 1.0}, "video lasts 1.00 s"),
        ({"end": 9.0}, "video lasts 9.00 s"),
        ({"audio": {"end": 1.0}}, "sound lasts 1.00 s"),
        ({"audio": {"codec": "mp3"}}, "mp3"),
        ({"audio": {"channels": 6}}, "6 channels"),
        ({"audio": {"decoded": 0}}, "sound is"),
    ],
)
async def test_a_rendition_with_one_thing_wrong_fails(samples: Samples, change: dict[str, Any], word: str) -> None:
    source = await facts(samples.plain())
    problems = rendition_problems(changed(source, **change), SIZE, 1, source)
    assert len(problems) == 1
    assert word in problems[0]


async def test_sound_must_be_there_if_and_only_if_the_source_has_some(samples: Samples) -> None:
    loud = await facts(samples.plain())
    silent = loud.model_copy(update={"audio": None})
    assert rendition_problems(silent, SIZE, 1, loud) == ["it has no sound, the source has"]
    assert rendition_problems(loud, SIZE, None, silent) == ["it has sound, the source has none"]


async def test_cut_file_does_not_pass(samples: Samples) -> None:
    source = await facts(samples.plain())
    found = await look(samples.cut(samples.plain(), 0.7))
    assert found == Unusable("cut-short")
    assert rendition_problems(found, SIZE, 1, source)


async def test_file_without_its_end_does_not_pass(samples: Samples) -> None:
    late_index = samples.derive(samples.plain(), "late-index.mp4", "-movflags", "0")
    assert await look(samples.cut(late_index, 0.7)) == Unusable("no-index")


async def test_damage_in_the_middle_is_found_by_decoding(samples: Samples, tmp_path: Path) -> None:
    content = bytearray(samples.plain().read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = b"\xff" * 4000
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(content)
    assert await look(damaged) == Unusable("broken-data")
    assert isinstance(await look(damaged, decode=False), Media)


async def test_damaged_container_never_hangs_the_probing_process(samples: Samples, tmp_path: Path) -> None:
    # Logging in PyAV made about one in four of these hang: decoder threads and their owner waited for each other.
    content = bytearray(samples.derive(samples.plain(), "plain.mkv").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 6400] = b"X" * 6400
    damaged = tmp_path / "damaged.mkv"
    damaged.write_bytes(content)
    for _ in range(8):
        await look(damaged, decode=False, formats="matroska")


async def test_keyframes_must_fall_together(samples: Samples) -> None:
    media = await facts(samples.plain())
    one, same, other = (changed(media, keyframes=times) for times in ((0.0, 4.0), (0.0, 4.0), (0.0, 5.0)))
    assert alignment_problems({"a": one, "b": same}) == []
    assert alignment_problems({"a": one, "b": other})


async def test_package_must_last_as_long_as_its_rendition(samples: Samples) -> None:
    media = await facts(samples.plain())
    playlist = MediaPlaylist(1, "init.mp4", (Segment(1, "0.m4s"), Segment(1, "1.m4s")))
    assert package_problems(media, playlist) == []
    short = MediaPlaylist(1, "init.mp4", (Segment(1, "0.m4s"),))
    assert "segments last 1.00 s" in package_problems(media, short)[0]


async def test_poster_must_be_one_jpeg_of_the_right_size(samples: Samples, tmp_path: Path) -> None:
    poster = tmp_path / "poster.jpg"
    samples.ffmpeg("-i", str(samples.plain()), "-frames:v", "1", "-update", "1", str(poster))
    assert poster_problems(await look(poster), SIZE) == []
    assert poster_problems(await look(poster), Size(180, 320))
    assert poster_problems(await look(samples.plain()), SIZE)
    assert await look(samples.cut(poster, 0.9)) == Unusable("broken-data")


@pytest.mark.parametrize("name", ["gone.m4s", "empty.m4s", "../outside.m4s", "/etc/passwd", "http://host/a.m4s"])
def test_playlist_must_name_files_beside_it(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "hls" / "720p"
    folder.mkdir(parents=True)
    (folder / "here.m4s").write_bytes(b"x")
    (folder / "empty.m4s").touch()
    (tmp_path / "hls" / "outside.m4s").write_bytes(b"x")
    assert missing_files(tmp_path, "hls/720p/index.m3u8", ["here.m4s"]) == []
    assert len(missing_files(tmp_path, "hls/720p/index.m3u8", ["here.m4s", name])) == 1


async def test_the_main_sound_in_another_codec_lasts_as_long_as_that_does_and_others_as_the_video(
    samples: Samples,
) -> None:
    main = await facts(samples.plain())
    assert main.audio is not None
    other = SimpleNamespace(
        index=1,
        file="sound.mp4",
        chain=SimpleNamespace(channels=main.audio.channels),
        coding=SimpleNamespace(codec="aac"),
    )
    # As little shorter as the main sound's own check lets pass.
    plan = SimpleNamespace(duration=main.audio.end - 0.4, audio_index=1, other_sounds=[other])
    found = [SoundFile(audio=main.audio, package_problems=())]
    _check_sounds(cast(TranscodePlan, plan), main, found)
    other.index = 2
    with pytest.raises(OutputUnfit, match=r"sound\.mp4: it lasts"):
        _check_sounds(cast(TranscodePlan, plan), main, found)
