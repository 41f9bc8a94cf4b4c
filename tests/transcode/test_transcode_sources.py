"""What becomes of sources of every kind that people have: a right result."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import anyio
import av
import pytest
from transcode_bench import FFMPEGS, Desk, Samples, rejected

from workers.transcode.hls import parse_master_playlist, parse_media_playlist

# The quarters of the test picture, as they are to be seen: red, green / blue, white.
QUARTERS = "color=red:size={s}:rate=25[a];color=lime:size={s}:rate=25[b];color=blue:size={s}:rate=25[c];"
QUARTERS += "color=white:size={s}:rate=25[d];[a][b]hstack[t];[c][d]hstack[u];[t][u]vstack"


# For what is not ffmpeg's to do, one version is enough.
any_ffmpeg = pytest.mark.parametrize("ffmpeg", [next(name for name in FFMPEGS if FFMPEGS[name])], indirect=True)


@pytest.fixture
def desk(tmp_path: Path, ffmpeg: str) -> Desk:
    desk = Desk(tmp_path)
    desk.settings["ffmpeg"] = ffmpeg
    return desk


def quarters(path: Path) -> list[str]:
    """Return the colours of the four quarters of the first picture, in reading order."""
    with av.open(str(path)) as media:
        frame = next(media.decode(video=0)).reformat(format="rgb24")
        plane = frame.planes[0]
        data, stride = bytes(plane), plane.line_size
    names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white"}
    found = []
    for y in (frame.height // 4, frame.height * 3 // 4):
        for x in (frame.width // 4, frame.width * 3 // 4):
            pixel = data[y * stride + 3 * x : y * stride + 3 * x + 3]
            found.append(names.get((pixel[0] // 160, pixel[1] // 160, pixel[2] // 160), str(list(pixel))))
    return found


@pytest.mark.parametrize(
    ("turn", "display", "size"),
    [
        ("transpose=clock", "90", (120, 200)),
        ("transpose=cclock", "-90", (120, 200)),
        ("hflip,vflip", "180", (120, 200)),
        ("null", "0", (120, 200)),
    ],
)
async def test_rotated_source_becomes_upright(
    desk: Desk, samples: Samples, turn: str, display: str, size: tuple[int, int]
) -> None:
    stored = samples.make(f"turned{display}.mp4", picture=f"{QUARTERS.format(s='60x100')},{turn}", seconds=0.4)
    source = samples.derive(stored, f"told{display}.mp4", before=("-display_rotation", display))
    result = await desk.run(desk.place(source), hls=False)
    (rendition,) = result.renditions
    assert (rendition.width, rendition.height) == size
    assert (result.source.width, result.source.height) == size
    assert result.source.rotation == -int(display) % 360
    for name in (rendition.blob, "poster.jpg"):
        assert quarters(desk.blobs / name) == ["red", "green", "blue", "white"]


@any_ffmpeg
@pytest.mark.parametrize(
    ("size", "expected"),
    [("321x181", (320, 180)), ("16x16", (16, 16)), ("2x2", (2, 2)), ("1x1", (2, 2)), ("33x2", (32, 2))],
)
async def test_odd_and_tiny_sizes_become_even(
    desk: Desk, samples: Samples, size: str, expected: tuple[int, int]
) -> None:
    options = ("-c:v", "ffv1", "-pix_fmt", "yuv444p")
    source = samples.make(f"odd{size}.mkv", picture=f"color=red:size={size}", seconds=0.4, options=options)
    (rendition,) = (await desk.run(desk.place(source))).renditions
    assert (rendition.width, rendition.height) == expected


@any_ffmpeg
async def test_portrait_source_is_scaled_by_its_width(desk: Desk, samples: Samples) -> None:
    source = samples.make("portrait.mp4", size="270x480", seconds=0.4)
    result = await desk.run(desk.place(source), ladder=(240, 120))
    assert [(each.name, each.width, each.height) for each in result.renditions] == [
        ("240p", 240, 426),
        ("120p", 120, 214),
    ]


async def test_wide_pixels_become_square(desk: Desk, samples: Samples) -> None:
    source = samples.make("wide.mp4", size="180x144", seconds=0.4, options=("-vf", "setsar=16/15"))
    (rendition,) = (await desk.run(desk.place(source))).renditions
    assert (rendition.width, rendition.height) == (192, 144)


async def test_variable_frame_rate_keeps_length_and_every_picture(desk: Desk, samples: Samples) -> None:
    chosen = "testsrc2=size=320x180:rate=25,select='not(mod(n,2))+lt(n,20)+not(mod(n,7))'"
    source = samples.make("variable.mp4", picture=chosen, options=("-fps_mode", "vfr"))
    result = await desk.run(desk.place(source))
    (rendition,) = result.renditions
    assert rendition.duration == pytest.approx(result.duration, abs=0.1)
    assert pictures(desk.blobs / rendition.blob) == pictures(source)


async def test_slide_show_keeps_length_and_every_picture(desk: Desk, samples: Samples) -> None:
    slides = "testsrc2=size=320x180:rate=25,setpts='N*N*0.05/TB'"
    source = samples.make("slides.mkv", picture=slides, sound=None, seconds=4, options=("-fps_mode", "vfr"))
    result = await desk.run(desk.place(source))
    assert pictures(desk.blobs / result.renditions[0].blob) == pictures(source)


def pictures(path: Path) -> int:
    with av.open(str(path)) as media:
        return sum(1 for _ in media.decode(video=0))


async def test_pictures_that_follow_closely_are_all_kept(desk: Desk, samples: Samples) -> None:
    pairs = "testsrc2=size=320x180:rate=50,setpts='floor(N/2)*0.08/TB+mod(N,2)*0.005/TB'"
    options = ("-fps_mode", "vfr", "-enc_time_base:v", "1/1000")
    source = samples.make("pairs.mkv", picture=pairs, sound=None, seconds=1.6, options=options)
    result = await desk.run(desk.place(source))
    assert pictures(desk.blobs / result.renditions[0].blob) == pictures(source) == 40


async def test_single_picture_is_a_video(desk: Desk, samples: Samples) -> None:
    source = samples.make("single.mp4", seconds=0.04, sound=None)
    result = await desk.run(desk.place(source))
    assert result.duration == pytest.approx(0.04)
    assert len(desk.outputs()) == 8


async def test_too_fast_a_source_is_slowed_to_the_limit(desk: Desk, samples: Samples) -> None:
    source = samples.make("fast.mp4", rate="120", seconds=0.5, sound=None)
    (rendition,) = (await desk.run(desk.place(source))).renditions
    assert rendition.frame_rate == pytest.approx(60, abs=2)
    assert rendition.duration == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("sound", "source_channels", "channels"),
    [
        (None, None, None),
        ("sine=sample_rate=8000", 1, 1),
        ("sine,pan=stereo|c0=c0|c1=c0", 2, 2),
        ("sine,pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0", 6, 2),
    ],
)
async def test_sound_follows_the_source(
    desk: Desk, samples: Samples, sound: str | None, source_channels: int | None, channels: int | None
) -> None:
    source = samples.make(f"sound{source_channels}.mp4", sound=sound, seconds=0.6)
    result = await desk.run(desk.place(source))
    assert result.source.audio_channels == source_channels
    assert result.renditions[0].audio_channels == channels
    assert ("mp4a" in (desk.blobs / "hls/master.m3u8").read_text()) == (channels is not None)


@pytest.mark.parametrize("late", ["video", "audio"])
async def test_stream_that_starts_late_stays_late(desk: Desk, samples: Samples, late: str) -> None:
    plain = samples.plain()
    maps = ("-map", "1:v", "-map", "0:a") if late == "video" else ("-map", "0:v", "-map", "1:a")
    before = ("-i", str(plain), "-itsoffset", "0.8")
    source = samples.derive(plain, f"late-{late}.mkv", *maps, before=before)
    result = await desk.run(desk.place(source))
    begins = first_seen_and_heard(desk.blobs / result.renditions[0].blob)
    assert begins[late] - begins["audio" if late == "video" else "video"] == pytest.approx(0.8, abs=0.06)
    # Before it there is black, or silence: a player that ignores edit lists has both from the beginning.
    assert starts(desk.blobs / result.renditions[0].blob) == pytest.approx({"video": 0.0, "audio": 0.0}, abs=0.03)


def first_seen_and_heard(path: Path) -> dict[str, float]:
    """Return when the first picture that is not black is shown, and the first sound that is not silent is played."""
    found: dict[str, float] = {}
    with av.open(str(path)) as media:
        for frame in media.decode(video=0):
            if max(bytes(frame.reformat(format="gray").planes[0])) > 60:
                found["video"] = float(frame.time or 0)
                break
    with av.open(str(path)) as media:
        for sound in media.decode(audio=0):
            samples = memoryview(bytes(sound.planes[0])).cast("f")
            if max(map(abs, samples)) > 0.02:
                found["audio"] = float(sound.time or 0)
                break
    return found


def starts(path: Path) -> dict[str, float]:
    with av.open(str(path)) as media:
        return {stream.type: float((stream.start_time or 0) * (stream.time_base or 0)) for stream in media.streams}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mkv", ()),
        ("a.mov", ()),
        ("a.ts", ()),
        ("a.flv", ()),
        ("a.avi", ("-c:v", "mpeg4", "-c:a", "mp3")),
        ("a.webm", ("-c:v", "libvpx", "-c:a", "libopus")),
        ("a.mpg", ("-c:v", "mpeg2video", "-c:a", "mp2")),
        ("a.wmv", ("-c:v", "wmv2", "-c:a", "wmav2")),
        ("a.ogv", ("-c:v", "libtheora", "-c:a", "libvorbis")),
        ("fragmented.mp4", ("-movflags", "frag_keyframe+empty_moov")),
    ],
)
async def test_other_containers_are_taken_whatever_their_file_is_called(
    desk: Desk, samples: Samples, name: str, options: tuple[str, ...]
) -> None:
    source = samples.make(name, seconds=0.6, options=options)
    # A package is made of the rendition, whatever that was made of.
    result = await desk.run(desk.place(source, "no suffix"), hls=False)
    assert result.renditions[0].duration == pytest.approx(0.6, abs=0.2)


@any_ffmpeg
async def test_stream_that_is_shown_by_default_is_chosen(desk: Desk, samples: Samples, tmp_path: Path) -> None:
    small, large = samples.make("s.mp4", size="64x36", seconds=0.6), samples.plain()
    (tmp_path / "text.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    before = ("-i", str(small), "-i", str(tmp_path / "text.srt"))
    maps = (
        "-map",
        "2:v",
        "-map",
        "0:v",
        "-map",
        "0:a",
        "-map",
        "1",
        "-disposition:v:0",
        "0",
        "-disposition:v:1",
        "default",
    )
    source = samples.derive(large, "many.mkv", *maps, before=before)
    (rendition,) = (await desk.run(desk.place(source))).renditions
    assert (rendition.width, rendition.height) == (64, 36)
    assert rendition.audio_codec == "aac"


@any_ffmpeg
async def test_cover_art_beside_a_video_is_not_taken_for_it(desk: Desk, samples: Samples, tmp_path: Path) -> None:
    samples.ffmpeg("-f", "lavfi", "-i", "color=red:size=640x640", "-frames:v", "1", str(tmp_path / "c.png"))
    maps = ("-map", "0", "-map", "1", "-c:v:0", "mjpeg", "-disposition:v:0", "attached_pic")
    source = samples.derive(samples.plain(), "covered.mp4", *maps, before=("-i", str(tmp_path / "c.png")))
    (rendition,) = (await desk.run(desk.place(source))).renditions
    assert (rendition.width, rendition.height) == (320, 180)


async def test_two_recordings_in_one_stream_are_played_on(desk: Desk, samples: Samples, tmp_path: Path) -> None:
    once = samples.make("once.ts", seconds=1).read_bytes()
    twice = tmp_path / "twice.ts"
    twice.write_bytes(once + once)
    result = await desk.run(desk.place(twice))
    assert result.renditions[0].duration == pytest.approx(2, abs=0.2)


@any_ffmpeg
@pytest.mark.parametrize(
    "name", ["with space.mp4", 'it\'s "quoted".mp4', "line\nbreak.mp4", "-y.mp4", "映画 ü.mp4", "100%d%05d.mp4"]
)
async def test_strange_file_names_are_only_names(desk: Desk, samples: Samples, name: str) -> None:
    desk.place(samples.make("short.mp4", seconds=0.3), name)
    result = await desk.run(name, hls=False)
    assert result.renditions[0].name == "180p"


@pytest.mark.parametrize("name", ["a.gif", "a.apng"])
async def test_animation_becomes_a_video(desk: Desk, samples: Samples, name: str) -> None:
    options = ("-c:v", name.removeprefix("a."), "-pix_fmt", "rgb8" if name == "a.gif" else "rgb24")
    source = samples.make(name, rate="10", sound=None, seconds=1, options=(*options, "-f", name.removeprefix("a.")))
    result = await desk.run(desk.place(source))
    assert pictures(desk.blobs / result.renditions[0].blob) == 10


async def test_animated_webp_becomes_a_video_or_is_refused_in_words(desk: Desk, samples: Samples, ffmpeg: str) -> None:
    source = samples.make(
        "a.webp", rate="10", sound=None, seconds=1, options=("-c:v", "libwebp_anim", "-preset", "default")
    )
    listed = await anyio.run_process([ffmpeg, "-v", "error", "-demuxers"])
    if b"webp_anim" in listed.stdout:
        result = await desk.run(desk.place(source))
        assert pictures(desk.blobs / result.renditions[0].blob) == 10
    else:
        assert "an animated WebP, which this ffmpeg cannot read" in await rejected(desk, source)


async def test_still_picture_with_sound_is_repeated_in_each_segment(desk: Desk, samples: Samples) -> None:
    plain = samples.make("sound3.mkv", seconds=3)
    still = samples.make("still.mp4", sound=None, seconds=0.04)
    source = samples.derive(
        plain, "podcast.mkv", "-map", "1:v", "-map", "0:a", before=("-i", str(plain), "-i", str(still))
    )
    result = await desk.run(desk.place(source))
    assert result.duration == pytest.approx(3, abs=0.1)
    text = (desk.blobs / "hls/180p/index.m3u8").read_text()
    assert [segment.duration for segment in parse_media_playlist(text).segments][:2] == pytest.approx([1, 1], abs=0.03)
    assert pictures(desk.blobs / result.renditions[0].blob) == 1


async def test_slides_are_cut_at_the_length_of_a_segment(desk: Desk, samples: Samples) -> None:
    slides = "testsrc2=size=320x180:rate=25,setpts='N*2.3/TB'"
    source = samples.make("slow.mkv", picture=slides, seconds=9, options=("-fps_mode", "vfr"))
    result = await desk.run(desk.place(source))
    assert pictures(desk.blobs / result.renditions[0].blob) == pictures(source)
    text = (desk.blobs / "hls/180p/index.m3u8").read_text()
    assert max(segment.duration for segment in parse_media_playlist(text).segments) < 1.5


async def test_fields_become_as_many_pictures_where_that_is_set(desk: Desk, samples: Samples) -> None:
    woven = "testsrc2=size=320x180:rate=50,tinterlace=mode=interleave_top,setfield=tff"
    options = ("-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-b:v", "2M")
    source = desk.place(samples.make("fields.ts", picture=woven, seconds=1, options=options))
    assert (await desk.run(source, hls=False)).renditions[0].frame_rate == pytest.approx(25, abs=1)
    (desk.blobs / "poster.jpg").unlink()
    (desk.blobs / "180p.mp4").unlink()
    desk.settings["deinterlace"] = "field"
    assert (await desk.run(source, hls=False)).renditions[0].frame_rate == pytest.approx(50, abs=1.5)


async def test_poster_is_not_black_where_the_video_begins_black(desk: Desk, samples: Samples) -> None:
    black = "color=black:size=64x64:rate=25:duration=1[a];testsrc2=size=64x64:rate=25:duration=1[b];[a][b]concat"
    await desk.run(desk.place(samples.make("intro.mp4", picture=black)), hls=False)
    assert quarters(desk.blobs / "poster.jpg") != ["[0, 0, 0]"] * 4


@any_ffmpeg
async def test_what_is_left_out_is_told(desk: Desk, samples: Samples) -> None:
    plain = samples.plain()
    source = samples.derive(plain, "two.mkv", "-map", "0:v", "-map", "0:v", "-map", "0:a", "-map", "0:a")
    warnings = (await desk.run(desk.place(source), hls=False)).warnings
    assert warnings == (
        "further video streams of the source, which are not used: 1",
        "further sounds of the source, which are not used: 1",
    )


async def test_languages_and_subtitles_of_the_source_can_be_chosen(
    desk: Desk, samples: Samples, tmp_path: Path
) -> None:
    plain = samples.plain()
    (tmp_path / "text.srt").write_text("1\n00:00:00,500 --> 00:00:01,500\nGr\u00fc\u00dfe\n")
    maps = ("-map", "0:v", "-map", "0:a", "-map", "0:a", "-map", "1")
    tags = ("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=ger", "-metadata:s:s:0", "language=ger")
    flags = ("-disposition:a:1", "0", "-disposition:s:0", "forced")
    before = ("-i", str(plain), "-i", str(tmp_path / "text.srt"))
    samples.ffmpeg(*before, *maps, *tags, *flags, "-c", "copy", str(tmp_path / "many.mkv"))
    result = await desk.run(desk.place(tmp_path / "many.mkv"))
    assert result.warnings == ()
    master = parse_master_playlist((desk.blobs / "hls/master.m3u8").read_text())
    assert [(each.kind, each.language, each.default, each.forced) for each in master.alternatives] == [
        ("AUDIO", "en", True, False),
        ("AUDIO", "de", False, False),
        ("SUBTITLES", "de", False, True),
    ]
    text = (desk.blobs / "hls/text-1/text.vtt").read_text()
    # Where the source begins differs between versions of ffmpeg by the delay of its sound, for texts as for pictures.
    assert re.search(r"00:00\.5[0-4]\d --> 00:01\.5[0-4]\d\nGr\u00fc\u00dfe", text)
    lengths = [
        parse_media_playlist((desk.blobs / f"hls/{folder}/index.m3u8").read_text()).duration
        for folder in ("180p", "audio", "audio-2")
    ]
    assert lengths == pytest.approx([2, 2, 2], abs=0.1)
    manifest = (desk.blobs / "hls/manifest.mpd").read_text()
    assert 'lang="de"' in manifest
    assert "<BaseURL>text-1/text.vtt</BaseURL>" in manifest


async def test_poster_past_the_end_is_the_last_picture(desk: Desk, samples: Samples) -> None:
    halves = "color=red:size=64x64:rate=25:duration=1[a];color=lime:size=64x64:rate=25:duration=1[b];[a][b]concat"
    source = desk.place(samples.make("halves.mp4", picture=halves))
    await desk.run(source, hls=False, poster_at=timedelta(hours=9))
    assert quarters(desk.blobs / "poster.jpg") == ["green"] * 4


async def test_poster_is_taken_where_it_was_asked_for(desk: Desk, samples: Samples) -> None:
    halves = "color=red:size=64x64:rate=25:duration=1[a];color=lime:size=64x64:rate=25:duration=1[b];[a][b]concat"
    source = desk.place(samples.make("halves.mp4", picture=halves))
    await desk.run(source, hls=False, poster_at=timedelta(seconds=0.5))
    assert quarters(desk.blobs / "poster.jpg") == ["red"] * 4


@pytest.mark.parametrize("name", ["plain.mp4", "plain.ts"])
async def test_damage_in_the_middle_does_not_stop_the_rest(
    desk: Desk, samples: Samples, tmp_path: Path, name: str
) -> None:
    whole = samples.plain() if name == "plain.mp4" else samples.make(name)
    content = bytearray(whole.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = b"\x11" * 4000
    (tmp_path / name).write_bytes(content)
    result = await desk.run(desk.place(tmp_path / name))
    assert result.renditions[0].duration == pytest.approx(2, abs=0.2)
