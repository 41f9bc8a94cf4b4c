"""A video in chunks is what it is whole: every picture once and at its time, and keyframes where segments begin."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from chunked import Made, made_both_ways
from transcode_bench import FFMPEGS, Samples

from tests.media.numbered import numbered_picture, shown
from workers.transcode import boxes
from workers.transcode.box_reader import MalformedMp4
from workers.transcode.boxes import Colour
from workers.transcode.finished import digest, read_track
from workers.transcode.joining import damage, join

_X264 = ("-preset", "veryfast", "-pix_fmt", "yuv420p")


@dataclass(frozen=True)
class Kind:
    """A kind of source, and by which ffmpeg it is encoded."""

    ffmpeg: str
    suffix: str = "mp4"
    rate: str = "25"
    seconds: float = 5.0
    sound: str | None = "sine=frequency=440:sample_rate=44100"
    options: tuple[str, ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)
    picture: str = ""
    turned: bool = False
    hdr: bool = False

    @property
    def keeps_numbers(self) -> bool:
        """Whether the numbers of its pictures can be read in the source, too, and are all kept."""
        return not self.changes and not self.turned and not self.hdr and "setpts=PTS+" not in self.picture


_TONE = "sine=frequency=440:sample_rate=44100"
_FIELDS = ("-vf", "tinterlace=interleave_top,setfield=tff", "-flags", "+ildct")
_PQ = "format=yuv420p10le,setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084:range=tv"
_HEVC = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p10le")
KINDS = {
    "plain": Kind("system", seconds=6.0),
    "open GOP": Kind("wheel", options=(*_X264, "-x264-params", "open-gop=1:keyint=37:bframes=3")),
    "open GOP, by an older one": Kind(
        "system", options=(*_X264, "-x264-params", "open-gop=1:keyint=61:bframes=4:b-pyramid=normal")
    ),
    "29.97 a second": Kind("wheel", rate="30000/1001"),
    "milliseconds, no sound": Kind("system", suffix="mkv", rate="24000/1001", sound=None, options=(*_X264, "-bf", "2")),
    "variable rate": Kind("wheel", picture=",setpts='(N+mod(N*7\\,5)*0.15)/25/TB'", options=("-fps_mode", "vfr")),
    "slides": Kind("system", rate="1/3", seconds=14.0, options=("-g", "1")),
    "late sound": Kind("system", sound=f"{_TONE},asetpts=PTS+2.5/TB"),
    "late picture": Kind("wheel", picture=",setpts=PTS+2.6/TB"),
    "turned": Kind("wheel", turned=True),
    "HDR": Kind("wheel", picture=f",{_PQ}", options=_HEVC, hdr=True),
    "HDR, by an older one": Kind("system", suffix="mkv", picture=f",{_PQ}", options=_HEVC, hdr=True),
    "fields": Kind("wheel", rate="50", options=_FIELDS, changes={"deinterlace": "field"}),
    "a reduced rate": Kind("wheel", rate="50", changes={"max_frame_rate": 20}),
}

_made: dict[str, tuple[Path, Made]] = {}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chunks")


async def made(kind: str, samples: Samples, folder: Path) -> tuple[Path, Made]:
    """Return a source and what was made of it, once in a session."""
    one = KINDS[kind]
    ffmpeg = FFMPEGS[one.ffmpeg]
    if ffmpeg is None:
        pytest.skip(f"there is no {one.ffmpeg} ffmpeg here")
    if kind not in _made:
        name = f"chunks-{kind.replace(' ', '-')}.{one.suffix}"
        picture = numbered_picture(one.rate) + one.picture
        source = samples.make(name, picture=picture, seconds=one.seconds, sound=one.sound, options=one.options)
        if one.turned:
            source = samples.derive(source, f"turned-{name}", before=("-display_rotation", "90"))
        place = folder / name
        place.mkdir()
        _made[kind] = source, await made_both_ways(source, place, ffmpeg, **one.changes)
    return _made[kind]


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_every_picture_is_there_once_and_at_its_time(kind: str, samples: Samples, folder: Path) -> None:
    source, found = await made(kind, samples, folder)
    assert found.chunks >= 2
    for whole, joined in zip(found.whole, found.joined, strict=True):
        wanted, there = shown(whole), shown(joined)
        assert [one.number for one in there] == [one.number for one in wanted]
        assert [one.time for one in there] == pytest.approx([one.time for one in wanted], abs=3e-5)
        colours = [video.colour if (video := boxes.read(path).track("vide")) else None for path in (whole, joined)]
        assert colours == [Colour("nclx", 1, 1, 1, full_range=False)] * 2
        for handler in ("vide", "soun"):
            tracks = [read_track(path, handler) for path in (whole, joined)]
            if tracks == [None, None]:
                continue
            of_whole, of_joined = tracks
            assert of_whole
            assert of_joined
            keys = [[unit.time for unit in track.units if unit.keyframe] for track in (of_whole, of_joined)]
            assert keys[0] == keys[1]
            ends = [float(Fraction(track.end, track.timescale)) for track in (of_whole, of_joined)]
            assert ends[0] == pytest.approx(ends[1], abs=0.002)
    if KINDS[kind].keeps_numbers:
        assert [one.number for one in shown(found.joined[0])] == [one.number for one in shown(source)]


async def test_pictures_at_a_joint_are_as_good_as_all_others(samples: Samples, folder: Path) -> None:
    source, found = await made("plain", samples, folder)
    joints = [50, 100]
    errors = [_error(source, path) for path in (found.whole[0], found.joined[0])]
    near = [[error for number, error in enumerate(one) if min(abs(number - j) for j in joints) <= 3] for one in errors]
    assert sum(near[1]) / len(near[1]) <= 1.12 * sum(near[0]) / len(near[0]) + 0.01


def _error(source: Path, made: Path) -> list[float]:
    import av

    with av.open(str(source)) as one, av.open(str(made)) as other:
        pairs = zip(one.decode(video=0), other.decode(video=0), strict=True)
        return [
            sum((a - b) ** 2 for a, b in zip(bytes(x.planes[0])[::7], bytes(y.planes[0])[::7], strict=True)) / 1000
            for x, y in pairs
        ]


async def test_chunks_that_overlap_or_were_coded_otherwise_are_refused(
    samples: Samples, folder: Path, tmp_path: Path
) -> None:
    _, found = await made("milliseconds, no sound", samples, folder)
    first = found.joined[0]
    parts = [first.parent / str(number) / first.name for number in range(found.chunks)]
    with pytest.raises(MalformedMp4, match="it begins at"):
        join([*parts, parts[-1]], None, tmp_path / "twice.mp4", lambda _: None)
    with pytest.raises(MalformedMp4, match="coded otherwise"):
        join([parts[0], parts[1].with_name(found.joined[1].name)], None, tmp_path / "mixed.mp4", lambda _: None)


async def test_a_joined_file_is_compared_with_what_was_decoded(samples: Samples, folder: Path, tmp_path: Path) -> None:
    _, found = await made("plain", samples, folder)
    first = found.joined[0]
    parts = [_part(first.parent / str(number) / first.name) for number in range(found.chunks)]
    assert damage(first, parts, lambda _: None) is None
    assert damage(first, parts[:-1], lambda _: None) == f"{first.name}: it has 150 pictures, its chunks 100"
    track = read_track(first, "vide")
    assert track
    content = bytearray(first.read_bytes())
    content[track.units[70].position + 9] ^= 1
    (tmp_path / "bent.mp4").write_bytes(content)
    bent = damage(tmp_path / "bent.mp4", parts, lambda _: None)
    assert bent == "bent.mp4: its pictures from number 50 on are not those of chunk 1"
    # Where they are, and in which order, counts as well.
    swapped = damage(first, [parts[1], parts[0], *parts[2:]], lambda _: None)
    assert swapped == f"{first.name}: its pictures from number 0 on are not those of chunk 0"


def _part(chunk: Path) -> tuple[int, str]:
    track = read_track(chunk, "vide")
    assert track
    return len(track.units), digest(chunk, track.units)


async def test_the_index_of_a_joined_file_comes_first_and_names_every_byte(samples: Samples, folder: Path) -> None:
    _, found = await made("plain", samples, folder)
    path = found.joined[0]
    assert path.read_bytes()[32:36] != b"mdat"
    movie = boxes.read(path)
    places = sorted((sample.position, sample.size) for track in movie.tracks for sample in track.samples())
    assert places[-1][0] + places[-1][1] == path.stat().st_size
    assert all(a + size == b for (a, size), (b, _) in itertools.pairwise(places))
