"""Sources of odd kinds: what is seen and heard of them is what ffmpeg's own reader shows, and no picture is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.media import content, rawtimes
from tests.media.ffmpegs import Ffmpeg
from tests.media.packages import Workshop, transcoded
from tests.media.playlists import read_master
from tests.media.sources import of_arguments, picture, sound

pytestmark = pytest.mark.slow

TOLERANCE = 0.02
FRAME = 0.04
_X264 = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "2")
_SEVEN_ONE = "asplit=8[a][b][c][d][e][f][g][h];[a][b][c][d][e][f][g][h]join=inputs=8:channel_layout=7.1"
_FADING = "geq=lum='lum(X\\,Y)':cb=128:cr=128:a=100"


@dataclass(frozen=True, slots=True)
class Odd:
    """One source: what makes it, how many pictures it shows (0: they are not counted), and at what size.

    `beeps` is how many are to be heard with their flashes, 0 where the source's own reader tells.
    """

    suffix: str
    make: Callable[[Ffmpeg, Path], None] = field(repr=False)
    pictures: int
    size: tuple[int, int] = (320, 180)
    warnings: tuple[str, ...] = ()
    beeps: int = 0


def cut_without_encoding(ffmpeg: Ffmpeg, path: Path) -> None:
    """Cut a clip as phones do: what is before the cut stays in the file, and an edit list leaves it out."""
    whole = path.with_name("whole.mp4")
    ffmpeg.run(*picture(5, 25), *sound(5), *_X264, "-g", "250", "-c:a", "aac", str(whole))
    ffmpeg.run("-ss", "1.3", "-i", str(whole), "-c", "copy", str(path))


def turned(ffmpeg: Ffmpeg, path: Path) -> None:
    upright = path.with_name("upright.mp4")
    odd = ("-vf", "scale=323:181,format=yuv444p")
    ffmpeg.run(*picture(2, 25), *sound(2), *odd, *_X264, "-c:a", "aac", str(upright))
    ffmpeg.run("-display_rotation", "90", "-i", str(upright), "-c", "copy", str(path))


def two_programmes(ffmpeg: Ffmpeg, path: Path) -> None:
    """Go on with other identifiers of the streams, as a recording does over a change of programme."""
    both = b""
    for number, ids in enumerate((("0:256", "1:257"), ("0:300", "1:301"))):
        part = path.with_name(f"part-{number}.ts")
        streams = [word for each in ids for word in ("-streamid", each)]
        offset = ("-output_ts_offset", str(2 * number))
        ffmpeg.run(*picture(2, 25), *sound(2), *_X264, "-c:a", "aac", *offset, *streams, str(part))
        both += part.read_bytes()
    path.write_bytes(both)


def joined_with_clocks_of_their_own(ffmpeg: Ffmpeg, path: Path) -> None:
    """Write one recording behind another of another size, whose clock begins where the first one's began."""
    both = b""
    for number, size in enumerate(("320x180", "480x270")):
        part = path.with_name(f"part-{number}.ts")
        ffmpeg.run(
            *picture(2, 25), *sound(2), "-vf", f"scale={size.replace('x', ':')}", *_X264, "-c:a", "aac", str(part)
        )
        both += part.read_bytes()
    path.write_bytes(both)


def open_groups(ffmpeg: Ffmpeg, path: Path) -> None:
    """Begin in the middle of a group of pictures, whose next one refers back to it."""
    whole = path.with_name("whole.ts")
    codec = ("-c:v", "libx264", "-preset", "veryfast", "-x264-params", "open-gop=1:keyint=20:bframes=3:b-adapt=0")
    ffmpeg.run(*picture(6, 25), *sound(6), *codec, "-c:a", "mp2", str(whole))
    packets = whole.read_bytes()
    path.write_bytes(packets[188 * (len(packets) // 188 // 4) :])


def languages(ffmpeg: Ffmpeg, path: Path) -> None:
    """Hold a second sound that begins late and ends early, and subtitles that are broken."""
    text = path.with_name("text.srt")
    text.write_text(
        "1\n00:00:00,500 --> 00:00:01,000\nHi\n\n2\n00:00:01,000 --> bad\n<b>x\n\n"
        "3\n00:00:02,000 --> 00:00:01,000\nback\n"
    )
    inputs = (*picture(4, 25), *sound(4), "-itsoffset", "1", *sound(2), "-i", str(text))
    maps = ("-map", "0", "-map", "1", "-map", "2", "-map", "3", "-c:s", "srt")
    ffmpeg.run(*inputs, *maps, *_X264, "-c:a", "aac", "-metadata:s:a:1", "language=fre", str(path))


def empty_defaults(ffmpeg: Ffmpeg, path: Path) -> None:
    """Announce, as the default, a video and a sound that hold nothing."""
    inputs = (*picture(3, 25), *picture(3, 25), *sound(3), *sound(3))
    maps = [word for number in range(4) for word in ("-map", str(number))]
    filters = ("-filter:v:1", "select=0", "-filter:a:1", "aselect=0")
    flags = ("-disposition:v:0", "0", "-disposition:v:1", "default", "-disposition:a:0", "0")
    ffmpeg.run(*inputs, *maps, *filters, *flags, "-disposition:a:1", "default", *_X264, "-c:a", "aac", str(path))


QUICK = "the source has 100 pictures a second; 60 of them are kept"
ODD = {
    "cut-by-edit-list": Odd(".mp4", cut_without_encoding, 92),
    "turned-odd-444": Odd(".mp4", turned, 50, size=(180, 320)),
    "two-programmes": Odd(
        ".ts",
        two_programmes,
        50,
        warnings=(
            "further video streams of the source, which are not used: 1",
            "the source goes on in other streams after those that are used have ended; that part is missing",
        ),
    ),
    "joined-with-clocks-of-their-own": Odd(".ts", joined_with_clocks_of_their_own, 100, beeps=4),
    "open-groups": Odd(".ts", open_groups, 0),
    "languages-broken-text": Odd(".mkv", languages, 100),
    "ten-bit-422-seven-one": Odd(
        ".mkv",
        of_arguments(
            *picture(3, 25),
            *sound(3),
            "-af",
            f"pan=mono|c0=c0,{_SEVEN_ONE}",
            *_X264,
            "-pix_fmt",
            "yuv422p10le",
            "-c:a",
            "flac",
        ),
        75,
        warnings=("the 8 channels of the source's sound are folded to 2",),
    ),
    "alpha": Odd(
        ".webm",
        of_arguments(
            *picture(2, 25),
            *sound(2),
            *("-vf", f"format=yuva420p,{_FADING}", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
            *("-auto-alt-ref", "0", "-c:a", "libopus"),
        ),
        50,
    ),
    "long-delays": Odd(
        ".gif", of_arguments(*picture(4, 1), "-vf", "setpts=N*5/TB,scale=160:90", "-fps_mode", "vfr"), 4, size=(160, 90)
    ),
    "before-zero": Odd(
        ".mp4",
        of_arguments(
            *(*picture(3, 25), *sound(3), *_X264, "-c:a", "aac"),
            *("-output_ts_offset", "-1.5", "-avoid_negative_ts", "disabled"),
        ),
        0,
    ),
    "hours-in": Odd(
        ".mkv", of_arguments(*picture(3, 25), *sound(3), *_X264, "-c:a", "aac", "-output_ts_offset", "7200"), 75
    ),
    "held-out-of-order": Odd(
        ".mp4",
        of_arguments(
            *(*picture(9, 25), *sound(9), *_X264, "-c:a", "aac"),
            *("-vf", "select='lt(t\\,2)+between(t\\,5\\,7)+gt(t\\,8.9)'", "-fps_mode", "vfr"),
        ),
        0,
    ),
    "sound-goes-on": Odd(".mp4", of_arguments(*picture(2, 25), *sound(6), *_X264, "-c:a", "aac"), 50),
    "a-fifth-of-a-second": Odd(".mp4", of_arguments(*picture(0.2, 25), *sound(0.2), *_X264, "-c:a", "aac"), 5),
    "without-lengths": Odd(
        ".mkv",
        of_arguments(
            *(*picture(4, 25), *sound(4), *_X264, "-c:a", "aac", "-live", "1"),
            *("-vf", "select='lt(mod(n\\,25)\\,18)'", "-fps_mode", "vfr"),
        ),
        72,
    ),
    "fragments-before-zero": Odd(
        ".mp4",
        of_arguments(
            *(*picture(4, 25), *sound(4), *_X264, "-c:a", "aac"),
            *("-movflags", "frag_keyframe+empty_moov+negative_cts_offsets"),
        ),
        100,
    ),
    "fields-of-a-camcorder": Odd(
        ".dv",
        of_arguments(
            *(*picture(2, 25), *sound(2), "-vf", "scale=720:576", "-c:v", "dvvideo", "-pix_fmt", "yuv420p"),
            *("-c:a", "pcm_s16le", "-ar", "48000", "-ac", "2"),
        ),
        50,
        size=(240, 180),
    ),
    "clock-that-drifts": Odd(
        ".mkv",
        of_arguments(*picture(8, 25), *sound(8), *_X264, "-af", "asetpts=PTS*1.01", "-c:a", "pcm_s16le"),
        200,
    ),
    "empty-defaults": Odd(".mkv", empty_defaults, 75),
    "uneven-animation": Odd(
        ".apng",
        of_arguments(*picture(4, 10), "-vf", "select='not(mod(n\\,7))+lt(n\\,5)'", "-fps_mode", "vfr", "-f", "apng"),
        10,
    ),
    "quick-animation": Odd(
        ".gif", of_arguments(*picture(0.5, 100), "-vf", "scale=160:90"), 0, size=(160, 90), warnings=(QUICK,)
    ),
    "grey-of-ten-bits": Odd(".mkv", of_arguments(*picture(2, 25), "-c:v", "ffv1", "-pix_fmt", "gray10le"), 50),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_source_is_seen_and_heard_as_it_is(name: str, workshop: Workshop, ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    odd = ODD[name]
    source = workshop.made(f"odd-{name}", odd.suffix, odd.make)
    folder, result = transcoded(source, tmp_path / "job", ffmpeg, ladder=(180,))
    assert result.warnings == odd.warnings
    (rendition,) = result.renditions
    path = folder / rendition.blob
    pictures = rawtimes.presented(path)["vide"]
    if odd.pictures:
        assert len(pictures) == odd.pictures
    wanted = [0.0] * odd.beeps if odd.beeps else apart(source)
    assert apart(path) == pytest.approx(wanted, abs=TOLERANCE)
    (variant,) = read_master(folder / "hls" / "master.m3u8").variants
    problems = rawtimes.timing_problems(variant, path, 2 * FRAME)
    assert not problems, "\n".join(problems)


def apart(path: Path) -> list[float]:
    """Return how much later than its flash each beep is heard, where there is one about it."""
    beeps = content.beeps(path)
    nearest = [(min(beeps, key=lambda beep: abs(beep - flash)) - flash) for flash in content.flashes(path) if beeps]
    return [late for late in nearest if abs(late) < 0.3]
