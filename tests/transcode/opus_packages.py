"""A package's sound as a browser hears it: raw segments, decoded without edit lists, sample by sample."""

from __future__ import annotations

import io
from pathlib import Path

import av
from av.audio.resampler import AudioResampler

from tests.media.playlists import Playlist

SAMPLE_RATE = 48_000


def heard(playlist: Playlist) -> list[int]:
    """Return the samples of a package's sound, from where its first packet says that it is."""
    content = playlist.init.read_bytes() + b"".join(path.read_bytes() for path, _ in playlist.segments)
    return decoded(io.BytesIO(content))


def decoded(file: io.BytesIO | Path) -> list[int]:
    """Return the samples of a file's sound, all channels added up; its times must have no holes."""
    found: list[int] = []
    resampler = AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    with av.open(file if isinstance(file, io.BytesIO) else str(file)) as media:
        for frame in media.decode(audio=0):
            assert frame.time is not None
            assert abs(frame.time * SAMPLE_RATE - len(found)) < 1
            for mono in resampler.resample(frame):
                found += memoryview(bytes(mono.planes[0])).cast("h")[: mono.samples]
    return found


def lag(found: list[int], wanted: list[int], first: int, count: int, most: int) -> int:
    """Return by how many samples `count` of them from `first` on come later than they should, up to `most`."""
    part = wanted[first : first + count]

    def difference(late: int) -> int:
        return sum((a - b) ** 2 for a, b in zip(part, found[first + late : first + late + count], strict=True))

    return min(range(-most, most + 1), key=difference)
