"""Puts the chunks of a rendition together: the same coded pictures, one after another, with the sound beside them.

Nothing is encoded, and no time is changed. What is not as it should be (chunks that were coded otherwise than the
first, that overlap, or that do not begin with a keyframe) is an error here, and never repaired.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from heapq import merge
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

from workers.transcode import boxes
from workers.transcode.box_reader import Box, MalformedMp4, index_boxes
from workers.transcode.box_writer import box
from workers.transcode.cutting import Unit
from workers.transcode.finished import FinishedTrack, digest, read_track
from workers.transcode.movie_writer import Picture, Run, SoundIndex, VideoIndex, movie_head

# What is listed anew; all other tables of a sound stay as they are.
_PLACES = ("stsc", "stco", "co64")
# How far pictures and sound lie apart in the file.
_RUN_SECONDS = Fraction(1, 2)
# From the beginning of the description of a video to the boxes in it, and where its size stands: behind the version and
# count of the table, and the size and kind of the entry.
_VISUAL_BOXES_AT = 8 + 8 + 78
_SIZE_AT = 8 + 8 + 24
# How many bits a second it has, which differs from chunk to chunk.
_BITRATE = "btrt"


@dataclass(frozen=True, slots=True)
class _Chunk:
    path: Path
    track: FinishedTrack


class _Piece(NamedTuple):
    """A run of samples: when it begins, in seconds, and the file and place that its bytes are at."""

    start: Fraction
    run: Run
    path: Path
    position: int


@dataclass(frozen=True, slots=True)
class _Sound:
    path: Path
    index: SoundIndex
    units: tuple[Unit, ...]


def join(chunks: Sequence[Path], sound: Path | None, target: Path, on_share: Callable[[float], None]) -> None:
    """Write the MP4 file `target` of the pictures of `chunks`, in order, and a sound. Tell how far it is.

    Raises `MalformedMp4` where they do not fit together, `OSError`.
    """
    tracks = [_Chunk(path, _pictures(path)) for path in chunks]
    first = tracks[0].track
    description = _plain(first.description)
    for chunk, after in pairwise(tracks):
        _check_joint(chunk, after)
    for chunk in tracks[1:]:
        if (chunk.track.timescale, _plain(chunk.track.description)) != (first.timescale, description):
            raise MalformedMp4(f"{chunk.path.name}: it was coded otherwise than {tracks[0].path.name}")
    width, height = struct.unpack_from(">HH", description, _SIZE_AT)
    pictures = _in_order([unit for chunk in tracks for unit in chunk.track.units])
    video = VideoIndex(pictures, tracks[-1].track.end, description, width, height)
    heard = None if sound is None else _sound(sound, first.timescale)
    pieces = _interleaved(tracks, heard, pictures)
    head = movie_head(first.timescale, video, None if heard is None else heard.index, [each.run for each in pieces])
    with target.open("wb") as file:
        file.write(head)
        for number, piece in enumerate(pieces, 1):
            with piece.path.open("rb") as media:
                _copy(media, file, piece.position, piece.run.size)
            on_share(number / len(pieces))


def damage(target: Path, parts: Sequence[tuple[int, str]], on_share: Callable[[float], None]) -> str | None:
    """Tell where the pictures of a joined file are not those of its chunks, of which `parts` has number and digest.

    Raises `MalformedMp4`, `OSError`.
    """
    units, begins = _pictures(target).units, 0
    for number, (count, wanted) in enumerate(parts):
        if digest(target, units[begins : begins + count]) != wanted:
            return f"{target.name}: its pictures from number {begins} on are not those of chunk {number}"
        begins += count
        on_share((number + 1) / len(parts))
    return None if begins == len(units) else f"{target.name}: it has {len(units)} pictures, its chunks {begins}"


def _pictures(path: Path) -> FinishedTrack:
    track = read_track(path, "vide")
    if track is None or not track.units:
        raise MalformedMp4(f"{path.name}: it has no pictures")
    if not track.units[0].keyframe or track.units[0].time != min(unit.time for unit in track.units):
        raise MalformedMp4(f"{path.name}: it does not begin with a keyframe")
    return track


def _check_joint(chunk: _Chunk, after: _Chunk) -> None:
    last, first = max(unit.time for unit in chunk.track.units), after.track.units[0].time
    if last >= first:
        raise MalformedMp4(
            f"{after.path.name}: it begins at {first}, where {chunk.path.name} shows a picture at {last}"
        )


def _plain(description: bytes) -> bytes:
    """Return the description of a video without what is of a chunk only."""
    count, size = struct.unpack_from(">I", description, 4)[0], struct.unpack_from(">I", description, 8)[0]
    if count != 1 or 8 + size != len(description):
        raise MalformedMp4("a chunk describes its pictures more than once")
    entry = Box("stsd", 0, 0, memoryview(description), "a chunk: stsd")
    kept = [child for child in entry.children(skip=_VISUAL_BOXES_AT) if child.kind != _BITRATE]
    body = description[16:_VISUAL_BOXES_AT] + b"".join(box(child.kind, bytes(child.body)) for child in kept)
    return description[:8] + box(description[12:16].decode("latin-1"), body)


def _in_order(units: Sequence[Unit]) -> list[Picture]:
    """Return pictures with decoding times: those of a single encode that reorders as far as any of these does."""
    times = sorted(unit.time for unit in units)
    rank = {time: place for place, time in enumerate(times)}
    if len(rank) < len(units):
        raise MalformedMp4("two pictures are shown at one time")
    ahead = max(place - rank[unit.time] for place, unit in enumerate(units))
    step = times[1] - times[0] if len(times) > 1 else 1
    decode_times = [times[0] - step * (ahead - place) for place in range(ahead)] + times
    return [
        Picture(decode_time, unit.time, unit.size, unit.keyframe)
        for decode_time, unit in zip(decode_times, units, strict=False)
    ]


def _sound(path: Path, timescale: int) -> _Sound:
    movie = boxes.read(path)
    track = movie.track("soun")
    if track is None:
        raise MalformedMp4(f"{path.name}: it has no sound")
    samples = list(track.samples())
    scale = Fraction(timescale, movie.timescale)
    edits = [(round(edit.duration * scale), edit.media_time) for edit in track.edits]
    duration = sum(sample.duration for sample in samples)
    whole = edits or [(round(Fraction(duration * timescale, track.timescale)), 0)]
    units = [
        Unit(sample.decode_time, sample.duration, sample.size, keyframe=True, position=sample.position)
        for sample in samples
    ]
    return _Sound(path, SoundIndex(_sound_tables(path), track.timescale, duration, whole), tuple(units))


def _sound_tables(path: Path) -> bytes:
    with path.open("rb") as file:
        moov = next(found for found in index_boxes(file, path.name) if found.kind == "moov")
    traks = [trak for trak in moov.all("trak") if bytes(trak.need("mdia", "hdlr").body[8:12]) == b"soun"]
    table = traks[0].need("mdia", "minf", "stbl")
    return b"".join(box(child.kind, bytes(child.body)) for child in table.children() if child.kind not in _PLACES)


def _interleaved(chunks: Sequence[_Chunk], sound: _Sound | None, pictures: Sequence[Picture]) -> list[_Piece]:
    """Return runs of pictures and of sound in the order of their times."""
    timescale, begins = chunks[0].track.timescale, pictures[0].decode_time
    coded = [(unit, chunk.path) for chunk in chunks for unit in chunk.track.units]
    shown = _pieces(
        (Fraction(picture.decode_time - begins, timescale), unit, path)
        for picture, (unit, path) in zip(pictures, coded, strict=True)
    )
    if sound is None:
        return list(shown)
    scale = sound.index.timescale
    heard = _pieces(((Fraction(unit.time, scale), unit, sound.path) for unit in sound.units), sound=True)
    return list(merge(shown, heard, key=lambda piece: piece.start))


def _pieces(units: Iterable[tuple[Fraction, Unit, Path]], *, sound: bool = False) -> Iterator[_Piece]:
    """Yield units in runs that lie together in their file, and are no longer than such a run may be."""
    start, samples, size, place, position = Fraction(0), 0, 0, Path(), 0
    for time, unit, path in units:
        if samples and (path, unit.position) == (place, position + size) and time - start < _RUN_SECONDS:
            samples, size = samples + 1, size + unit.size
            continue
        if samples:
            yield _Piece(start, Run(sound, samples, size), place, position)
        start, samples, size, place, position = time, 1, unit.size, path, unit.position
    if samples:
        yield _Piece(start, Run(sound, samples, size), place, position)


def _copy(media: BinaryIO, file: BinaryIO, position: int, size: int) -> None:
    media.seek(position)
    content = media.read(size)
    if len(content) < size:
        raise OSError(errno.EIO, "it ends too early", media.name)
    file.write(content)
