"""Is a package what a browser would play as the MP4 file beside it? Judged by the raw times in its fragments.

Nothing here repairs anything: an edit list is a fault, and every packet must lie where the MP4 shows it, byte by byte.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from workers.transcode import boxes, hls
from workers.transcode.box_reader import MalformedMp4
from workers.transcode.finished import track_description
from workers.transcode.sound_codecs import pre_skip

# Raw times and those of the MP4 are in one timescale; this is what reading them as seconds may cost.
_TOLERANCE_SECONDS = 0.002
# How far a segment may begin from where the playlist says: half a packet of sound.
_SEGMENT_SECONDS = 0.02
# Sound may be late by a packet or two where recorders do not begin both at once.
_FIRST_SECONDS = 0.1
_MOST_TOLD = 4
# What stands before a repeated picture.
_DELIMITER_BYTES = 6


class Packet(NamedTuple):
    """One packet of an MP4 file: when it is shown, in seconds, how many bytes it has, and their CRC-32."""

    time: float
    size: int
    checksum: int


class _Written(NamedTuple):
    time: float
    size: int
    checksum: int
    without_delimiter: int

    def is_packet(self, packet: Packet) -> bool:
        """Return whether its bytes are those of a packet."""
        return (self.size, self.checksum) == (packet.size, packet.checksum)

    def repeats(self, packet: Packet) -> bool:
        """Return whether it is a packet once more, behind a delimiter where its format has them."""
        bare = (self.size - _DELIMITER_BYTES, self.without_delimiter)
        return bare == (packet.size, packet.checksum) or self.is_packet(packet)


def package_problems(folder: Path, handler: str, packets: Sequence[Packet]) -> list[str]:
    """Tell what a browser would play otherwise than the MP4's `packets`, which are in decoding order."""
    try:
        playlist = hls.parse_media_playlist((folder / hls.INDEX_FILE).read_text())
        movie = boxes.read(folder / playlist.initialisation)
        track = movie.track(handler)
        if len(movie.tracks) != 1 or track is None:
            return ["its init segment does not hold the one track that it should"]
        problems = ["its init segment has an edit list, which browsers ignore"] if track.edits else []
        skipped = pre_skip(track_description(folder / playlist.initialisation, handler) or b"")
        if skipped:
            problems.append(f"players leave out its first {skipped} samples, which are those of time 0")
        return [*problems, *_sample_problems(folder, movie, track, playlist, packets)][:_MOST_TOLD]
    except (MalformedMp4, ValueError, FileNotFoundError) as error:
        return [str(error)]


def _sample_problems(
    folder: Path,
    movie: boxes.Movie,
    track: boxes.Track,
    playlist: hls.MediaPlaylist,
    packets: Sequence[Packet],
) -> Iterator[str]:
    clock = 0.0
    reached: int | None = None
    matched = 0
    for segment in playlist.segments:
        path = folder / segment.uri
        samples = [each for fragment in boxes.fragments(movie, path) for each in fragment.samples]
        if not samples:
            yield f"{segment.uri}: it holds nothing"
            continue
        first = samples[0]
        begins = min(each.presentation_time for each in samples) / track.timescale
        if not first.keyframe:
            yield f"{segment.uri}: it does not begin with a keyframe"
        if abs(begins - clock) > (_SEGMENT_SECONDS if reached is not None else _FIRST_SECONDS):
            yield f"{segment.uri}: it begins at {begins:.3f} s, the playlist says {clock:.3f} s"
        if reached is not None and first.decode_time != reached:
            yield f"{segment.uri}: it begins at {first.decode_time} ticks, the one before ends at {reached}"
        last = samples[-1]
        reached = last.decode_time + last.duration
        if any(each.duration <= 0 for each in samples):
            yield f"{segment.uri}: a sample lasts no time"
        for written in _read(path, samples, track.timescale):
            wrong, step = _compared(written, packets, matched)
            matched += step
            if wrong:
                yield f"{segment.uri}: {wrong}"
        clock += segment.duration
    if matched != len(packets):
        yield f"it holds {matched} of the {len(packets)} packets of the rendition"
    if reached is not None and abs(reached / track.timescale - clock) > _SEGMENT_SECONDS:
        yield f"it ends at {reached / track.timescale:.3f} s, the playlist says {clock:.3f} s"


def _compared(written: _Written, packets: Sequence[Packet], matched: int) -> tuple[str, int]:
    """Return what is wrong with a sample, if anything, and how many packets it accounts for."""
    following = packets[matched] if matched < len(packets) else None
    held = packets[matched - 1] if matched else following
    # Two pictures that are the same have the same bytes: then it is told by the time which of them it is.
    on_time = following is not None and abs(written.time - following.time) <= _TOLERANCE_SECONDS
    repeated = held is not None and written.repeats(held)
    if following is not None and written.is_packet(following) and (on_time or not repeated):
        late = f"a packet that the rendition shows at {following.time:.3f} s is at {written.time:.3f} s"
        return "" if on_time else late, 1
    if held is not None and repeated:
        # A repeated picture: it may be shown again while it is held, or from the beginning where it is the first.
        right = written.time < held.time if not matched else held.time <= written.time
        right = right and (following is None or written.time < following.time)
        return "" if right else f"a picture is repeated at {written.time:.3f} s, where another one is shown", 0
    return f"what it shows at {written.time:.3f} s is not of the rendition", 0


def _read(path: Path, samples: Sequence[boxes.Sample], timescale: int) -> Iterator[_Written]:
    with path.open("rb") as file:
        for sample in samples:
            file.seek(sample.position)
            content = file.read(sample.size)
            yield _Written(
                sample.presentation_time / timescale,
                len(content),
                zlib.crc32(content),
                zlib.crc32(content[_DELIMITER_BYTES:]),
            )
