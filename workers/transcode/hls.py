"""HLS playlists (RFC 8216): writing and reading media playlists and the master playlist.

Only what those two use is understood; anything else in a playlist is an error, since nothing else should be there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from workers.transcode.ladder import Size
from workers.transcode.sound_codecs import SoundCodec

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)(?:,|$)')
_VERSION = 7
WHOLE_SEGMENTS = "AES-128"
_METHODS = (WHOLE_SEGMENTS, "SAMPLE-AES", "SAMPLE-AES-CTR")
# Digits behind the point of a segment's length, in seconds.
DIGITS = 6

INIT_FILE, INDEX_FILE, IFRAMES_FILE = "init.mp4", "index.m3u8", "iframes.m3u8"

# A peak is measured over runs of segments that last about as long as one segment may (RFC 8216, 4.3.4.2).
_SHORTEST_RUN, _LONGEST_RUN = 0.5, 1.5


@dataclass(frozen=True, slots=True)
class SegmentKey:
    """What a segment is encrypted with: where players get the key, and how it is used.

    `vector` is that of a segment that is encrypted as a whole, `key_id` that of one whose samples are.
    """

    uri: str
    vector: bytes | None
    method: str = WHOLE_SEGMENTS
    key_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment: how many seconds it lasts, and its file, relative to the playlist; `key` is that of its bytes."""

    duration: float
    uri: str
    key: SegmentKey | None = None


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A part of a file: how many bytes, and where they begin."""

    length: int
    offset: int


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
    """One line of a master playlist. Bandwidths are in bits per second, of pictures and sound together.

    `size` and `frame_rate` are None for one that has only sound; `sound` is the group of its sound; `video_range` is
    SDR, PQ or HLG.
    """

    uri: str
    bandwidth: int
    average_bandwidth: int
    codecs: str
    size: Size | None
    frame_rate: float | None
    sound: str | None
    video_range: str = "SDR"


@dataclass(frozen=True, slots=True)
class KeyPictures:
    """A playlist of the first picture of each segment, for moving through a video quickly."""

    uri: str
    bandwidth: int
    codecs: str
    size: Size
    video_range: str = "SDR"


@dataclass(frozen=True, slots=True)
class Alternative:
    """A sound, or a text, that players may choose. `kind` is AUDIO or SUBTITLES; `language` as in RFC 5646."""

    kind: str
    group: str
    name: str
    uri: str
    language: str | None = None
    channels: int | None = None
    default: bool = False
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Master:
    """All that a master playlist names."""

    variants: tuple[Variant, ...]
    key_pictures: tuple[KeyPictures, ...] = ()
    alternatives: tuple[Alternative, ...] = ()

    def files(self) -> tuple[str, ...]:
        """Return every file that it names."""
        named: list[Variant | KeyPictures | Alternative] = [*self.variants, *self.key_pictures, *self.alternatives]
        return tuple(each.uri for each in named)


def segment_file(number: int) -> str:
    """Return the name of a segment."""
    return f"{number:05d}.m4s"


def media_playlist(segments: Sequence[Segment]) -> str:
    """Return the text of a finished media playlist. Keys come behind the init segment, which they are not for."""
    entries, key = [], None
    for segment in segments:
        if segment.key is not None and segment.key != key:
            entries.append(_key(segment.key))
        entries.append(f"#EXTINF:{segment.duration:.{DIGITS}f},\n{segment.uri}")
        key = segment.key
    return _playlist(segments, entries, "#EXT-X-INDEPENDENT-SEGMENTS")


def _key(key: SegmentKey) -> str:
    vector = "" if key.vector is None else f",IV=0x{key.vector.hex()}"
    key_id = "" if key.key_id is None else f",KEYID=0x{key.key_id.hex()}"
    return f'#EXT-X-KEY:METHOD={key.method},URI="{key.uri}"{vector}{key_id}'


def iframes_playlist(segments: Sequence[Segment], ranges: Sequence[ByteRange]) -> str:
    """Return the text of a playlist of each segment's first picture, which lies at `ranges`."""
    entries = [
        f"#EXTINF:{segment.duration:.{DIGITS}f},\n#EXT-X-BYTERANGE:{part.length}@{part.offset}\n{segment.uri}"
        for segment, part in zip(segments, ranges, strict=True)
    ]
    return _playlist(segments, entries, "#EXT-X-I-FRAMES-ONLY")


def _playlist(segments: Sequence[Segment], entries: Sequence[str], kind: str) -> str:
    # No segment may be longer, rounded to the nearest second (RFC 8216, 4.3.3.1).
    target = max(1, *(math.floor(segment.duration + 0.5) for segment in segments))
    head = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{_VERSION}",
        f"#EXT-X-TARGETDURATION:{target}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        kind,
        f'#EXT-X-MAP:URI="{INIT_FILE}"',
    ]
    return "\n".join([*head, *entries, "#EXT-X-ENDLIST"]) + "\n"


def parse_media_playlist(text: str) -> MediaPlaylist:
    """Return a finished media playlist. Raises `ValueError` naming what is missing or not understood."""
    lines = _lines(text)
    target: float | None = None
    initialisation: str | None = None
    duration: float | None = None
    key: SegmentKey | None = None
    ended = False
    segments: list[Segment] = []
    for line in lines:
        tag, _, value = line.partition(":")
        if tag == "#EXT-X-TARGETDURATION":
            target = float(value)
        elif tag == "#EXT-X-MAP":
            initialisation = _attributes(value).get("URI")
        elif tag == "#EXT-X-KEY":
            key = _segment_key(_attributes(value))
        elif tag == "#EXTINF":
            duration = float(value.partition(",")[0])
        elif tag == "#EXT-X-ENDLIST":
            ended = True
        elif not line.startswith("#"):
            if duration is None:
                raise ValueError(f"segment {line!r} has no #EXTINF")
            segments.append(Segment(duration, line, key))
            duration = None
    if target is None or initialisation is None or not segments or not ended:
        raise ValueError("the playlist has no target duration, no #EXT-X-MAP, no segments or no end")
    return MediaPlaylist(target, initialisation, tuple(segments))


def _segment_key(found: dict[str, str]) -> SegmentKey:
    method, uri = found.get("METHOD", ""), found.get("URI", "")
    vector, key_id = (bytes.fromhex(found[name][2:]) if name in found else None for name in ("IV", "KEYID"))
    if method not in _METHODS or not uri or (method == WHOLE_SEGMENTS and vector is None):
        raise ValueError(f"a key has none of the methods {', '.join(_METHODS)}, no URI or no IV")
    return SegmentKey(uri, vector, method, key_id)


def parse_byte_ranges(text: str) -> tuple[ByteRange, ...]:
    """Return the parts of files that a playlist of pictures names. Raises `ValueError` where one is not understood."""
    values = [value for tag, _, value in (line.partition(":") for line in _lines(text)) if tag == "#EXT-X-BYTERANGE"]
    parts = [value.partition("@") for value in values]
    return tuple(ByteRange(int(length), int(offset)) for length, _, offset in parts)


def parse_master_playlist(text: str) -> Master:
    """Return what a master playlist names. Raises `ValueError`, or `KeyError` for a missing attribute."""
    variants: list[Variant] = []
    key_pictures: list[KeyPictures] = []
    alternatives: list[Alternative] = []
    pending: dict[str, str] | None = None
    for line in _lines(text):
        tag, _, value = line.partition(":")
        if tag == "#EXT-X-STREAM-INF":
            pending = _attributes(value)
        elif tag == "#EXT-X-I-FRAME-STREAM-INF":
            found = _attributes(value)
            key_pictures.append(
                KeyPictures(
                    uri=found["URI"],
                    bandwidth=int(found["BANDWIDTH"]),
                    codecs=found["CODECS"],
                    size=_size(found["RESOLUTION"]),
                    video_range=found["VIDEO-RANGE"],
                )
            )
        elif tag == "#EXT-X-MEDIA":
            alternatives.append(_alternative(_attributes(value)))
        elif not line.startswith("#"):
            if pending is None:
                raise ValueError(f"variant {line!r} has no #EXT-X-STREAM-INF")
            variants.append(_variant(line, pending))
            pending = None
    if not variants:
        raise ValueError("the master playlist has no variants")
    return Master(tuple(variants), tuple(key_pictures), tuple(alternatives))


def _variant(uri: str, found: dict[str, str]) -> Variant:
    return Variant(
        uri=uri,
        bandwidth=int(found["BANDWIDTH"]),
        average_bandwidth=int(found["AVERAGE-BANDWIDTH"]),
        codecs=found["CODECS"],
        size=_size(found["RESOLUTION"]) if "RESOLUTION" in found else None,
        frame_rate=float(found["FRAME-RATE"]) if "FRAME-RATE" in found else None,
        sound=found.get("AUDIO"),
        video_range=found.get("VIDEO-RANGE", "SDR"),
    )


def _alternative(found: dict[str, str]) -> Alternative:
    return Alternative(
        kind=found["TYPE"],
        group=found["GROUP-ID"],
        name=found["NAME"],
        uri=found["URI"],
        language=found.get("LANGUAGE"),
        channels=int(found["CHANNELS"]) if "CHANNELS" in found else None,
        default=found.get("DEFAULT") == "YES",
        forced=found.get("FORCED") == "YES",
    )


def _size(text: str) -> Size:
    width, _, height = text.partition("x")
    return Size(int(width), int(height))


def master_playlist(master: Master) -> str:
    """Return the text of a master playlist; players that cannot measure yet begin with the first variant."""
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{_VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
    lines += [f"#EXT-X-MEDIA:{_alternative_attributes(each)}" for each in master.alternatives]
    texts = {each.group for each in master.alternatives if each.kind == "SUBTITLES"}
    for variant in master.variants:
        attributes = [
            f"BANDWIDTH={variant.bandwidth}",
            f"AVERAGE-BANDWIDTH={variant.average_bandwidth}",
            f'CODECS="{variant.codecs}"',
        ]
        if variant.size is not None and variant.frame_rate is not None:
            attributes += [
                f"RESOLUTION={variant.size.width}x{variant.size.height}",
                f"FRAME-RATE={variant.frame_rate:.3f}",
                f"VIDEO-RANGE={variant.video_range}",
                "CLOSED-CAPTIONS=NONE",
            ]
        if variant.sound is not None:
            attributes.append(f'AUDIO="{variant.sound}"')
        attributes += [f'SUBTITLES="{group}"' for group in sorted(texts)]
        lines += [f"#EXT-X-STREAM-INF:{','.join(attributes)}", variant.uri]
    for pictures in master.key_pictures:
        attributes = [
            f"BANDWIDTH={pictures.bandwidth}",
            f'CODECS="{pictures.codecs}"',
            f"RESOLUTION={pictures.size.width}x{pictures.size.height}",
            f"VIDEO-RANGE={pictures.video_range}",
            f'URI="{pictures.uri}"',
        ]
        lines.append(f"#EXT-X-I-FRAME-STREAM-INF:{','.join(attributes)}")
    return "\n".join(lines) + "\n"


def _alternative_attributes(each: Alternative) -> str:
    attributes = [f"TYPE={each.kind}", f'GROUP-ID="{each.group}"', f'NAME="{each.name}"']
    if each.language is not None:
        attributes.append(f'LANGUAGE="{each.language}"')
    attributes += [f"DEFAULT={'YES' if each.default else 'NO'}", "AUTOSELECT=YES"]
    if each.forced:
        attributes.append("FORCED=YES")
    if each.channels is not None:
        attributes.append(f'CHANNELS="{each.channels}"')
    return ",".join([*attributes, f'URI="{each.uri}"'])


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


def codecs(pictures: str, sound: SoundCodec | None) -> str:
    """Return the CODECS attribute (RFC 6381) of pictures in this format, and of sound where there is some."""
    return pictures if sound is None else f"{pictures},{sound.told}"


def _lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or lines[0] != "#EXTM3U":
        raise ValueError("the playlist does not begin with #EXTM3U")
    return lines


def _attributes(text: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in _ATTRIBUTE.findall(text)}
