"""HLS playlists (RFC 8216): reading the media playlists that ffmpeg wrote, writing and reading the master playlist.

Only what those two use is understood; anything else in a playlist is an error, since nothing else should be there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from workers.transcode.ladder import Size

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)(?:,|$)')
_VERSION = 7

# A peak is measured over runs of segments that last about as long as one segment may (RFC 8216, 4.3.4.2).
_SHORTEST_RUN, _LONGEST_RUN = 0.5, 1.5


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment: how many seconds it lasts, and its file, relative to the playlist."""

    duration: float
    uri: str


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """The segments of one rendition, and the file that initialises its decoders."""

    target: float
    initialisation: str
    segments: tuple[Segment, ...]

    @property
    def duration(self) -> float:
        """How long all segments last, in seconds."""
        return sum(segment.duration for segment in self.segments)

    def files(self) -> tuple[str, ...]:
        """Return every file that the playlist names."""
        return (self.initialisation, *(segment.uri for segment in self.segments))


@dataclass(frozen=True, slots=True)
class Variant:
    """One line of a master playlist. Bandwidths are in bits per second."""

    uri: str
    bandwidth: int
    average_bandwidth: int
    codecs: str
    size: Size
    frame_rate: float


def parse_media_playlist(text: str) -> MediaPlaylist:
    """Return a finished media playlist. Raises `ValueError` naming what is missing or not understood."""
    lines = _lines(text)
    target: float | None = None
    initialisation: str | None = None
    duration: float | None = None
    ended = False
    segments: list[Segment] = []
    for line in lines:
        tag, _, value = line.partition(":")
        if tag == "#EXT-X-TARGETDURATION":
            target = float(value)
        elif tag == "#EXT-X-MAP":
            initialisation = _attributes(value).get("URI")
        elif tag == "#EXTINF":
            duration = float(value.partition(",")[0])
        elif tag == "#EXT-X-ENDLIST":
            ended = True
        elif not line.startswith("#"):
            if duration is None:
                raise ValueError(f"segment {line!r} has no #EXTINF")
            segments.append(Segment(duration, line))
            duration = None
    if target is None or initialisation is None or not segments or not ended:
        raise ValueError("the playlist has no target duration, no #EXT-X-MAP, no segments or no end")
    return MediaPlaylist(target, initialisation, tuple(segments))


def parse_master_playlist(text: str) -> tuple[Variant, ...]:
    """Return the variants of a master playlist. Raises `ValueError`, or `KeyError` for a missing attribute."""
    variants: list[Variant] = []
    pending: dict[str, str] | None = None
    for line in _lines(text):
        tag, _, value = line.partition(":")
        if tag == "#EXT-X-STREAM-INF":
            pending = _attributes(value)
        elif not line.startswith("#"):
            if pending is None:
                raise ValueError(f"variant {line!r} has no #EXT-X-STREAM-INF")
            width, _, height = pending["RESOLUTION"].partition("x")
            variants.append(
                Variant(
                    uri=line,
                    bandwidth=int(pending["BANDWIDTH"]),
                    average_bandwidth=int(pending["AVERAGE-BANDWIDTH"]),
                    codecs=pending["CODECS"],
                    size=Size(int(width), int(height)),
                    frame_rate=float(pending["FRAME-RATE"]),
                )
            )
            pending = None
    if not variants:
        raise ValueError("the master playlist has no variants")
    return tuple(variants)


def master_playlist(variants: Sequence[Variant]) -> str:
    """Return the text of a master playlist; players that cannot measure yet begin with the first variant."""
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{_VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
    for variant in variants:
        attributes = (
            f"BANDWIDTH={variant.bandwidth}",
            f"AVERAGE-BANDWIDTH={variant.average_bandwidth}",
            f'CODECS="{variant.codecs}"',
            f"RESOLUTION={variant.size.width}x{variant.size.height}",
            f"FRAME-RATE={variant.frame_rate:.3f}",
        )
        lines += [f"#EXT-X-STREAM-INF:{','.join(attributes)}", variant.uri]
    return "\n".join(lines) + "\n"


def bandwidths(playlist: MediaPlaylist, sizes: Sequence[int]) -> tuple[int, int]:
    """Return the peak and the average bits per second of segments with these sizes in bytes."""
    durations = [segment.duration for segment in playlist.segments]
    peak = 0.0
    for first in range(len(durations)):
        seconds, octets = 0.0, 0
        for last in range(first, len(durations)):
            seconds, octets = seconds + durations[last], octets + sizes[last]
            if seconds > _LONGEST_RUN * playlist.target:
                break
            if seconds >= _SHORTEST_RUN * playlist.target:
                peak = max(peak, 8 * octets / seconds)
    # What lasts less than half a segment in all has no such run. A segment of no length still has bytes.
    average = 8 * sum(sizes) / max(playlist.duration, 0.001)
    return math.ceil(max(peak, average)), math.ceil(average)


def codecs(h264_profile: str, *, has_audio: bool) -> str:
    """Return the CODECS attribute (RFC 6381) of H.264 with this profile, and AAC-LC where there is sound."""
    return f"avc1.{h264_profile}" + (",mp4a.40.2" if has_audio else "")


def _lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or lines[0] != "#EXTM3U":
        raise ValueError("the playlist does not begin with #EXTM3U")
    return lines


def _attributes(text: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in _ATTRIBUTE.findall(text)}
