"""Writes the index of an MP4 file (ISO/IEC 14496-12) whose media data follows it: a player may begin before it has all.

Times are in ticks of one timescale, which is the movie's and the video's. Nothing is rounded: a file that ffmpeg writes
has edit lists in its own, coarser one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from workers.transcode.box_writer import MATRIX, UNDETERMINED, box, full, packed_language

_BRANDS = box("ftyp", b"isom", struct.pack(">I", 0x200), b"isomiso2avc1mp41")
_MDAT_HEADER_BYTES = 16


@dataclass(frozen=True, slots=True)
class Picture:
    """One coded picture, in decoding order: when it is decoded and shown, its bytes, whether it is a keyframe."""

    decode_time: int
    time: int
    size: int
    keyframe: bool


@dataclass(frozen=True, slots=True)
class VideoIndex:
    """The pictures of a video, shown until `end`; `description` is the body of its `stsd` box."""

    pictures: Sequence[Picture]
    end: int
    description: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class SoundIndex:
    """A sound as another file has it: `tables` are its `stsd`, `stts`, `stsz` and the like, as they are there.

    `duration` is in its own `timescale`; `edits` are of a movie that has the timescale of this one.
    """

    tables: bytes
    timescale: int
    duration: int
    edits: Sequence[tuple[int, int | None]]


@dataclass(frozen=True, slots=True)
class Run:
    """Samples of a track that lie one after another in the media data."""

    sound: bool
    samples: int
    size: int


def movie_head(timescale: int, video: VideoIndex, sound: SoundIndex | None, runs: Sequence[Run]) -> bytes:
    """Return all of a file that comes before the bytes of `runs`, which are its media data in that order."""
    # How large it is does not depend on where the data begins.
    empty = _moov(timescale, video, sound, runs, 0)
    begins = len(_BRANDS) + len(empty) + _MDAT_HEADER_BYTES
    size = _MDAT_HEADER_BYTES + sum(run.size for run in runs)
    return _BRANDS + _moov(timescale, video, sound, runs, begins) + struct.pack(">I4sQ", 1, b"mdat", size)


def _moov(timescale: int, video: VideoIndex, sound: SoundIndex | None, runs: Sequence[Run], begins: int) -> bytes:
    edits = _picture_edits(video)
    lasts = [sum(length for length, _ in edits)]
    tracks = [
        _trak(
            1,
            "vide",
            lasts[0],
            edits,
            _mdhd(timescale, video.pictures[-1].decode_time - video.pictures[0].decode_time + _last_duration(video)),
            box("stbl", *_picture_tables(video), *_places([run for run in _placed(runs, begins) if not run[0].sound])),
            (video.width, video.height),
        )
    ]
    if sound is not None:
        lasts.append(sum(length for length, _ in sound.edits))
        table = box("stbl", sound.tables, *_places([run for run in _placed(runs, begins) if run[0].sound]))
        tracks.append(_trak(2, "soun", lasts[1], sound.edits, _mdhd(sound.timescale, sound.duration), table, (0, 0)))
    movie = struct.pack(">QQIQIH10x", 0, 0, timescale, max(lasts), 0x10000, 0x100)
    header = full("mvhd", 1, 0, movie, MATRIX, bytes(24), struct.pack(">I", len(tracks) + 1))
    return box("moov", header, *tracks)


def _trak(
    number: int,
    handler: str,
    lasts: int,
    edits: Sequence[tuple[int, int | None]],
    header: bytes,
    table: bytes,
    size: tuple[int, int],
) -> bytes:
    is_video = handler == "vide"
    volume = 0 if is_video else 0x100
    track = full(
        "tkhd",
        1,
        3,
        struct.pack(">QQI4xQ8xhhhH", 0, 0, number, lasts, 0, 0 if is_video else 1, volume, 0),
        MATRIX,
        struct.pack(">II", size[0] << 16, size[1] << 16),
    )
    entries = b"".join(struct.pack(">QqI", length, -1 if at is None else at, 0x10000) for length, at in edits)
    listed = box("edts", full("elst", 1, 0, struct.pack(">I", len(edits)), entries))
    kind = full("vmhd", 0, 1, bytes(8)) if is_video else full("smhd", 0, 0, bytes(4))
    place = box("dinf", full("dref", 0, 0, struct.pack(">I", 1), full("url ", 0, 1)))
    name = b"VideoHandler\0" if is_video else b"SoundHandler\0"
    return box(
        "trak",
        track,
        listed,
        box(
            "mdia",
            header,
            full("hdlr", 0, 0, bytes(4), handler.encode("ascii"), bytes(12), name),
            box("minf", kind, place, table),
        ),
    )


def _mdhd(timescale: int, duration: int) -> bytes:
    return full("mdhd", 1, 0, struct.pack(">QQIQHH", 0, 0, timescale, duration, packed_language(UNDETERMINED), 0))


def _picture_edits(video: VideoIndex) -> list[tuple[int, int | None]]:
    """Return edits that have the first picture shown at its time, however early decoding has to begin."""
    first = min(picture.time for picture in video.pictures)
    shown = (video.end - first, first - video.pictures[0].decode_time)
    return [(first, None), shown] if first > 0 else [shown]


def _last_duration(video: VideoIndex) -> int:
    return max(1, video.end - max(picture.time for picture in video.pictures))


def _picture_tables(video: VideoIndex) -> list[bytes]:
    pictures = video.pictures
    starts = [picture.decode_time for picture in pictures]
    durations = [after - before for before, after in pairwise(starts)] + [_last_duration(video)]
    offsets = [picture.time - picture.decode_time for picture in pictures]
    keyframes = [number for number, picture in enumerate(pictures, 1) if picture.keyframe]
    tables = [box("stsd", video.description), full("stts", 0, 0, _pairs(durations))]
    if any(offsets):
        tables.append(full("ctts", 0, 0, _pairs(offsets)))
    tables.append(full("stss", 0, 0, _table(">I", keyframes)))
    sizes = [picture.size for picture in pictures]
    tables.append(full("stsz", 0, 0, struct.pack(">II", 0, len(sizes)), struct.pack(f">{len(sizes)}I", *sizes)))
    return tables


def _placed(runs: Iterable[Run], begins: int) -> Iterable[tuple[Run, int]]:
    for run in runs:
        yield run, begins
        begins += run.size


def _places(runs: Sequence[tuple[Run, int]]) -> list[bytes]:
    """Return the tables of where samples lie: each run is a chunk, as the format has it."""
    changes: list[tuple[int, int, int]] = []
    for number, (run, _) in enumerate(runs, 1):
        if not changes or changes[-1][1] != run.samples:
            changes.append((number, run.samples, 1))
    listed = b"".join(struct.pack(">III", *change) for change in changes)
    return [
        full("stsc", 0, 0, struct.pack(">I", len(changes)), listed),
        full("co64", 0, 0, _table(">Q", [at for _, at in runs])),
    ]


def _pairs(values: Sequence[int]) -> bytes:
    """Return a table of runs of equal values."""
    runs = [(len(list(run)), value) for value, run in groupby(values)]
    return struct.pack(">I", len(runs)) + b"".join(struct.pack(">II", *run) for run in runs)


def _table(shape: str, values: Sequence[int]) -> bytes:
    return struct.pack(">I", len(values)) + b"".join(struct.pack(shape, value) for value in values)
