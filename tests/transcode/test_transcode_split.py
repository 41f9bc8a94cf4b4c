"""A video in chunks is what it is in one piece: every picture once and at its time, under the same names.

The pictures of the sources carry their number as a bar code, which survives any encoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import pytest
from split_bench import SplitSite, split_site
from transcode_bench import Samples

from workers.transcode import TranscodeResult

BITS, BAR = 10, 16
# Picture N has, in its upper part, a bar for each bit of N.
NUMBERED = (
    "geq=lum='if(mod(floor(N/pow(2,floor(X/{bar}))),2),220,30)*lt(X,{width})+30*gte(X,{width})':cb=128:cr=128".format(
        bar=BAR, width=BITS * BAR
    )
)


@dataclass(frozen=True)
class Shown:
    """One decoded picture: its number, and when it is shown, in seconds."""

    number: int
    time: float


def shown(path: Path) -> list[Shown]:
    """Return the pictures of a file in the order in which they are shown."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            row = bytes(frame.reformat(format="gray", width=192, height=frame.height).planes[0])[:192]
            bits = [row[BAR * bit + BAR // 2] > 125 for bit in range(BITS)]
            assert frame.time is not None
            found.append(Shown(sum(bit << place for place, bit in enumerate(bits)), frame.time))
    return found


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ffmpeg: str) -> Iterator[Path]:
    """Set the plugin up to split all that lasts longer than 4 s; yield the folder of its sources."""
    sources = tmp_path / "sources"
    sources.mkdir()
    given = {
        "source_roots": str(sources),
        "ffmpeg": ffmpeg,
        "preset": "ultrafast",
        "segment_seconds": "1",
        "chunk_seconds": "2",
        "split_seconds": "4",
        "threads": "1",
        "ladder": "108,64",
        "keep_size": "false",
        "nice": "0",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"JOBKIT_TRANSCODE_{name.upper()}", value)
    return sources


def numbered(samples: Samples, name: str, *, rate: str = "25", seconds: float = 7.0, **more: object) -> Path:
    """Return a source whose pictures tell their numbers."""
    picture = f"color=black:size=192x108:rate={rate},{NUMBERED}"
    return samples.make(name, picture=picture, seconds=seconds, **more)  # type: ignore[arg-type]


async def split(source: Path, to: Path, **fields: object) -> tuple[TranscodeResult, int]:
    """Transcode a source in chunks; return the result, and how many chunks there were."""
    async with split_site() as site:
        site.start()
        result = await site.transcode(str(source), **fields)
        await site.files(to)
        return result, await counted(site)


async def counted(site: SplitSite) -> int:
    return len(await site.planes.inspection.jobs(type="transcode.chunk"))


def in_pieces(source: Path, into: Path) -> Path:
    target = into / source.name
    target.write_bytes(source.read_bytes())
    return target


KINDS = {
    "plain": ((), {}),
    "open-gop": (("-preset", "veryfast", "-x264-params", "open-gop=1:keyint=35:bframes=3"), {}),
    "ntsc": ((), {"rate": "30000/1001"}),
    "silent": ((), {"sound": None}),
}


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_every_picture_is_there_once_and_at_its_time(
    kind: str, samples: Samples, environment: Path, tmp_path: Path
) -> None:
    options, more = KINDS[kind]
    source = in_pieces(numbered(samples, f"numbered-{kind}.mp4", options=options, **more), environment)
    result, chunks = await split(source, tmp_path / "out")
    assert chunks >= 3
    wanted = shown(source)
    for rendition in result.renditions:
        found = shown(tmp_path / "out" / rendition.blob)
        assert [one.number for one in found] == [one.number for one in wanted]
        assert [one.time for one in found] == pytest.approx([one.time - wanted[0].time for one in wanted], abs=2e-5)


async def test_a_video_in_chunks_has_the_files_of_one_that_is_whole(
    samples: Samples, environment: Path, tmp_path: Path
) -> None:
    source = in_pieces(numbered(samples, "numbered-plain.mp4"), environment)
    result, chunks = await split(source, tmp_path / "out")
    whole, none = await split(source, tmp_path / "whole", split=False)
    assert (chunks > 1, none) == (True, 0)

    def names(folder: str) -> list[str]:
        return sorted(str(path.relative_to(tmp_path / folder)) for path in (tmp_path / folder).rglob("*.*"))

    assert names("out") == names("whole")
    assert [(one.name, one.codecs, one.duration) for one in result.renditions] == [
        (one.name, one.codecs, one.duration) for one in whole.renditions
    ]
    assert (result.duration, result.source, result.warnings) == (whole.duration, whole.source, whole.warnings)
    for playlist in ("hls/108p/index.m3u8", "hls/audio/index.m3u8"):
        assert (tmp_path / "out" / playlist).read_text() == (tmp_path / "whole" / playlist).read_text()
