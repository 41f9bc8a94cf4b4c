"""The structure of MP4 files (ISO/IEC 14496-12), read as it is written: nothing is repaired, no edit list is applied.

Browsers play by these raw times (Media Source Extensions), and ffmpeg's readers hide what is wrong with them. All times
are integers in the timescale of their track. Media data is never read: memory is that of the index of one file, or of
one fragment.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, repeat
from pathlib import Path
from typing import NamedTuple

from workers.transcode.box_reader import I32, U32, U64, Box, MalformedMp4, index_boxes

# A fragment lasts seconds; samples that need no byte each to be listed could be any number.
MOST_SAMPLES_OF_A_RUN = 2**20

_U32_PAIR, _U32_I32 = struct.Struct(">II"), struct.Struct(">Ii")
_RUN_OF_CHUNKS = struct.Struct(">III")
_EDITS = {0: struct.Struct(">Iii"), 1: struct.Struct(">Qqi")}
_COLOUR = struct.Struct(">HHH")
# When a movie, a track or its media was made and changed, by the version of the box.
_TIMES_BYTES = {0: 8, 1: 16}
# From the beginning of a visual sample entry to the boxes in it.
_VISUAL_ENTRY_BYTES = 78
_NOT_A_SYNC_SAMPLE = 0x10000
# Flags of `tfhd`, then of `trun`.
_BASE_OFFSET, _DESCRIPTION, _DEFAULT_DURATION, _DEFAULT_SIZE, _DEFAULT_FLAGS = 0x1, 0x2, 0x8, 0x10, 0x20
_BASE_IS_MOOF = 0x20000
_DATA_OFFSET, _FIRST_FLAGS, _DURATIONS, _SIZES, _FLAGS, _OFFSETS = 0x1, 0x4, 0x100, 0x200, 0x400, 0x800


class Sample(NamedTuple):
    """One picture or packet of sound: its times in the track's timescale, its size and place in bytes."""

    decode_time: int
    composition_offset: int
    duration: int
    size: int
    keyframe: bool
    position: int

    @property
    def presentation_time(self) -> int:
        """When it is shown, before any edit list."""
        return self.decode_time + self.composition_offset


@dataclass(frozen=True, slots=True)
class Edit:
    """One entry of an edit list: `duration` is in the movie's timescale, `media_time` None for an empty edit."""

    duration: int
    media_time: int | None
    rate: Fraction


@dataclass(frozen=True, slots=True)
class Colour:
    """What a `colr` box says, in the code points of ISO/IEC 23091-2; an ICC profile has only its `kind`."""

    kind: str
    primaries: int | None = None
    transfer: int | None = None
    matrix: int | None = None
    full_range: bool | None = None


@dataclass(frozen=True, slots=True)
class _Defaults:
    """What a sample of a fragment is where nothing nearer says it."""

    duration: int
    size: int
    flags: int


@dataclass(frozen=True, slots=True)
class _Tables:
    """The sample tables of a track as they are stored, unpacked only while they are walked through."""

    durations: bytes
    offsets: bytes
    signed_offsets: bool
    equal_size: int
    sizes: bytes
    count: int
    keyframes: bytes | None
    chunks: tuple[struct.Struct, bytes]
    runs: bytes


@dataclass(frozen=True, slots=True)
class Track:
    """One track: `handler` is `vide` or `soun`, `codec` the kind of its samples, such as `avc1`."""

    id: int
    handler: str
    codec: str
    timescale: int
    edits: tuple[Edit, ...]
    colour: Colour | None
    _tables: _Tables = field(repr=False)
    _defaults: _Defaults | None = field(repr=False)

    def samples(self) -> Iterator[Sample]:
        """Return the samples that the index lists, in decoding order; a fragmented file lists none.

        Raises `MalformedMp4` where the tables do not agree.
        """
        return _indexed_samples(self._tables)


@dataclass(frozen=True, slots=True)
class Movie:
    """What the index (`moov`) of a file says, or the init segment of a package. `timescale` is that of edits."""

    timescale: int
    tracks: tuple[Track, ...]

    def track(self, handler: str) -> Track | None:
        """Return the first track of a handler."""
        return next((track for track in self.tracks if track.handler == handler), None)


@dataclass(frozen=True, slots=True)
class Fragment:
    """The samples of one track in one `moof`; `decode_time` is what its `tfdt` says."""

    track: Track
    decode_time: int
    samples: tuple[Sample, ...]


def read(path: Path) -> Movie:
    """Return what the index of an MP4 file, or an init segment, says.

    Raises `MalformedMp4` naming what is wrong, `OSError` where the file cannot be read.
    """
    with path.open("rb") as file:
        for box in index_boxes(file, path.name):
            if box.kind == "moov":
                return _movie(box)
    raise MalformedMp4(f"{path.name}: it has no moov box")


def fragments(movie: Movie, path: Path) -> Iterator[Fragment]:
    """Yield the fragments of a media segment, or of a whole fragmented file, by its init segment, in file order.

    Raises `MalformedMp4` naming what is wrong, `OSError` where the file cannot be read.
    """
    tracks = {track.id: track for track in movie.tracks}
    with path.open("rb") as file:
        for box in index_boxes(file, path.name):
            if box.kind == "moof":
                yield from _fragments_of(box, tracks)


def samples(movie: Movie, segments: Iterable[Path]) -> dict[int, list[Sample]]:
    """Return the samples of media segments by their track's id; an empty list where a track has none.

    Raises what `fragments` raises.
    """
    found: dict[int, list[Sample]] = {track.id: [] for track in movie.tracks}
    for path in segments:
        for fragment in fragments(movie, path):
            found[fragment.track.id] += fragment.samples
    return found


def _movie(moov: Box) -> Movie:
    extends = moov.find("mvex")
    defaults = dict(_defaults_of(box) for box in extends.all("trex")) if extends is not None else {}
    tracks = tuple(_track(box, defaults) for box in moov.all("trak"))
    timescale = _timescale(moov.need("mvhd"))
    if len({track.id for track in tracks}) < len(tracks):
        raise MalformedMp4(f"{moov.where}: two tracks have one id")
    return Movie(timescale, tracks)


def _timescale(header: Box) -> int:
    """Return the timescale of a `mvhd` or `mdhd` box."""
    fields = header.fields()
    version, _ = fields.versioned()
    fields.octets(_TIMES_BYTES[version])
    timescale = fields.number()
    if timescale == 0:
        raise MalformedMp4(f"{header.where}: its timescale is 0")
    return timescale


def _defaults_of(trex: Box) -> tuple[int, _Defaults]:
    fields = trex.fields()
    fields.versioned()
    track, _, duration, size, flags = (fields.number() for _ in range(5))
    return track, _Defaults(duration, size, flags)


def _track(trak: Box, defaults: dict[int, _Defaults]) -> Track:
    number = _track_id(trak.need("tkhd"))
    handler = bytes(trak.need("mdia", "hdlr").fields().octets(12)[8:]).decode("latin-1")
    table = trak.need("mdia", "minf", "stbl")
    entry = next(table.need("stsd").children(skip=8), None)
    if entry is None:
        raise MalformedMp4(f"{table.where}: it describes no samples")
    elst = trak.find("edts", "elst")
    return Track(
        id=number,
        handler=handler,
        codec=entry.kind,
        timescale=_timescale(trak.need("mdia", "mdhd")),
        edits=() if elst is None else tuple(_edits(elst)),
        colour=_colour(entry) if handler == "vide" else None,
        _tables=_tables(table),
        _defaults=defaults.get(number),
    )


def _track_id(tkhd: Box) -> int:
    fields = tkhd.fields()
    version, _ = fields.versioned()
    fields.octets(_TIMES_BYTES[version])
    return fields.number()


def _edits(elst: Box) -> Iterator[Edit]:
    fields = elst.fields()
    version, _ = fields.versioned()
    for duration, media_time, rate in _EDITS[version].iter_unpack(fields.table(_EDITS[version])):
        yield Edit(duration, None if media_time == -1 else media_time, Fraction(rate, 0x10000))


def _colour(entry: Box) -> Colour | None:
    colr = next((child for child in entry.children(skip=_VISUAL_ENTRY_BYTES) if child.kind == "colr"), None)
    if colr is None:
        return None
    fields = colr.fields()
    kind = bytes(fields.octets(4)).decode("latin-1")
    if kind not in ("nclx", "nclc"):
        return Colour(kind)
    primaries, transfer, matrix = fields.take(_COLOUR)
    return Colour(kind, primaries, transfer, matrix, bool(fields.octets(1)[0] >> 7) if kind == "nclx" else None)


def _tables(stbl: Box) -> _Tables:
    sizes = stbl.need("stsz").fields()
    sizes.versioned()
    equal_size, count = sizes.number(), sizes.number()
    signed, offsets = _table(stbl.find("ctts"), _U32_PAIR)
    wide = stbl.find("stco") is None
    shape = U64 if wide else U32
    return _Tables(
        durations=_table(stbl.need("stts"), _U32_PAIR)[1],
        offsets=offsets,
        signed_offsets=signed > 0,
        equal_size=equal_size,
        sizes=b"" if equal_size else bytes(sizes.octets(count * U32.size)),
        count=count,
        keyframes=_table(found, U32)[1] if (found := stbl.find("stss")) else None,
        chunks=(shape, _table(stbl.need("co64" if wide else "stco"), shape)[1]),
        runs=_table(stbl.need("stsc"), _RUN_OF_CHUNKS)[1],
    )


def _table(box: Box | None, entry: struct.Struct) -> tuple[int, bytes]:
    """Return version and entries of a table; nothing where there is none."""
    if box is None:
        return 0, b""
    fields = box.fields()
    return fields.versioned()[0], fields.table(entry)


def _indexed_samples(tables: _Tables) -> Iterator[Sample]:
    durations = _expanded(_U32_PAIR, tables.durations)
    # Without the table all offsets are 0.
    shape = _U32_I32 if tables.signed_offsets else _U32_PAIR
    offsets = _expanded(shape, tables.offsets) if tables.offsets else repeat(0, tables.count)
    keyframes, positions = _keyframes(tables), _positions(tables)
    time = 0
    for number in range(1, tables.count + 1):
        duration, offset = next(durations, None), next(offsets, None)
        keyframe, place = next(keyframes, None), next(positions, None)
        if duration is None or offset is None or keyframe is None or place is None:
            raise MalformedMp4(f"the sample tables end before sample {number} of {tables.count}")
        position, size = place
        yield Sample(time, offset, duration, size, keyframe, position)
        time += duration
    if any(next(rest, None) is not None for rest in (durations, offsets, keyframes, positions)):
        raise MalformedMp4(f"the sample tables go on behind the last of {tables.count} samples")


def _expanded(shape: struct.Struct, runs: bytes) -> Iterator[int]:
    """Yield the value of each sample of a table that is stored as runs of equal values."""
    return chain.from_iterable(repeat(value, count) for count, value in shape.iter_unpack(runs))


def _keyframes(tables: _Tables) -> Iterator[bool]:
    """Yield whether each sample is a keyframe; without a list of them all are."""
    if tables.keyframes is None:
        yield from repeat(True, tables.count)
        return
    last = 0
    for (number,) in U32.iter_unpack(tables.keyframes):
        if number <= last:
            raise MalformedMp4(f"keyframe {number} is listed behind keyframe {last}")
        yield from repeat(False, number - last - 1)
        yield True
        last = number
    yield from repeat(False, tables.count - last)


def _positions(tables: _Tables) -> Iterator[tuple[int, int]]:
    """Yield the position and size of as many samples as the chunks hold, or as have a size."""
    sizes = (size for (size,) in U32.iter_unpack(tables.sizes)) if not tables.equal_size else repeat(tables.equal_size)
    shape, stored = tables.chunks
    runs = _RUN_OF_CHUNKS.iter_unpack(tables.runs)
    count, following = 0, next(runs, None)
    for number, (position,) in enumerate(shape.iter_unpack(stored), 1):
        if following is not None and following[0] == number:
            count, following = following[1], next(runs, None)
        for _ in range(count):
            size = next(sizes, None)
            if size is None:
                raise MalformedMp4(f"chunk {number} holds more samples than have a size")
            yield position, size
            position += size


def _fragments_of(moof: Box, tracks: dict[int, Track]) -> Iterator[Fragment]:
    # Where nothing else is said, data of the first track begins with the moof box, of others where the one before ends.
    base = moof.start
    for traf in moof.all("traf"):
        fragment, base = _fragment(traf, tracks, moof.start, base)
        yield fragment


def _fragment(traf: Box, tracks: dict[int, Track], moof_start: int, base: int) -> tuple[Fragment, int]:
    """Return the samples of a `traf` box, and where the data behind them begins."""
    fields = traf.need("tfhd").fields()
    _, flags = fields.versioned()
    track = tracks.get(number := fields.number())
    if track is None or track._defaults is None:
        raise MalformedMp4(f"{traf.where}: track {number} is not one that the init segment has for fragments")
    if flags & _BASE_OFFSET:
        base = fields.number(U64)
    elif flags & _BASE_IS_MOOF:
        base = moof_start
    if flags & _DESCRIPTION:
        fields.number()
    defaults = _Defaults(
        fields.number() if flags & _DEFAULT_DURATION else track._defaults.duration,
        fields.number() if flags & _DEFAULT_SIZE else track._defaults.size,
        fields.number() if flags & _DEFAULT_FLAGS else track._defaults.flags,
    )
    decode = traf.need("tfdt").fields()
    time = start = decode.wide(decode.versioned()[0])
    found: list[Sample] = []
    position = base
    for trun in traf.all("trun"):
        for sample in _run(trun, defaults, time, base, position):
            found.append(sample)
            time, position = sample.decode_time + sample.duration, sample.position + sample.size
    return Fragment(track, start, tuple(found)), position


def _run(trun: Box, defaults: _Defaults, time: int, base: int, position: int) -> Iterator[Sample]:
    """Yield the samples of a `trun` box, which begin at a decode time, and at `position` unless it says another."""
    fields = trun.fields()
    version, flags = fields.versioned()
    count = fields.number()
    if count > MOST_SAMPLES_OF_A_RUN:
        raise MalformedMp4(f"{trun.where}: it has {count} samples, more than {MOST_SAMPLES_OF_A_RUN}")
    if flags & _DATA_OFFSET:
        position = base + fields.number(I32)
    first_flags = fields.number() if flags & _FIRST_FLAGS else None
    for number in range(count):
        duration = fields.number() if flags & _DURATIONS else defaults.duration
        size = fields.number() if flags & _SIZES else defaults.size
        said = fields.number() if flags & _FLAGS else defaults.flags
        if number == 0 and first_flags is not None:
            said = first_flags
        offset = fields.number(I32 if version else U32) if flags & _OFFSETS else 0
        yield Sample(time, offset, duration, size, not said & _NOT_A_SYNC_SAMPLE, position)
        time, position = time + duration, position + size
