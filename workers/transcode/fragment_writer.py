"""Writes fragmented MP4 (ISO/IEC 14496-12, CMAF): init segments without edit lists, and fragments with true times."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from workers.transcode.cutting import Placed

_BRANDS = b"iso6cmfcdash"
# Access unit delimiter of H.264, before a repeated picture: both have one idr_pic_id, and without it a decoder that
# looks for boundaries itself takes the second for more of the first.
DELIMITER = b"\x00\x00\x00\x02\x09\x10"
_SYNC, _NOT_SYNC = 0x02000000, 0x01010000
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
# Data offset, and for each sample duration, size, flags and composition offset.
_RUN_FLAGS = 0x1 | 0x100 | 0x200 | 0x400 | 0x800
_BASE_IS_MOOF = 0x20000
_UNDETERMINED = "und"
_SAMPLE = struct.Struct(">IIIi")


def delimiter(description: bytes) -> bytes:
    """Return what a repeated picture begins with; `description` is the body of its track's `stsd` box."""
    return DELIMITER if description[12:16] == b"avc1" else b""


def written_size(placed: Placed, before_repeat: bytes = DELIMITER) -> int:
    """Return how many bytes a unit takes in the media data; `before_repeat` is the track's delimiter."""
    return placed.unit.size + (len(before_repeat) if placed.repeat else 0)


def init_segment(handler: str, timescale: int, description: bytes, language: str = _UNDETERMINED) -> bytes:
    """Return the init segment of one track; `description` is the body of its `stsd` box."""
    video = handler == "vide"
    width, height = struct.unpack_from(">HH", description, 8 + 8 + 24) if video else (0, 0)
    track = _full(
        "tkhd",
        0,
        3,
        struct.pack(">IIIII8xhhhH", 0, 0, 1, 0, 0, 0, 0, 0 if video else 0x100, 0),
        _MATRIX,
        struct.pack(">II", width << 16, height << 16),
    )
    kind = _full("vmhd", 0, 1, bytes(8)) if video else _full("smhd", 0, 0, bytes(4))
    empty = [_full(name, 0, 0, bytes(4)) for name in ("stts", "stsc")]
    table = _box(
        "stbl", _box("stsd", description), *empty, _full("stsz", 0, 0, bytes(8)), _full("stco", 0, 0, bytes(4))
    )
    place = _box("dinf", _full("dref", 0, 0, struct.pack(">I", 1), _full("url ", 0, 1)))
    name = b"VideoHandler\0" if video else b"SoundHandler\0"
    media = _box(
        "mdia",
        _full("mdhd", 0, 0, struct.pack(">IIIIHH", 0, 0, timescale, 0, _language(language), 0)),
        _full("hdlr", 0, 0, bytes(4), handler.encode("ascii"), bytes(12), name),
        _box("minf", kind, place, table),
    )
    movie = struct.pack(">IIIIIH10x", 0, 0, timescale, 0, 0x10000, 0x100)
    return _box("ftyp", b"iso6", bytes(4), _BRANDS) + _box(
        "moov",
        _full("mvhd", 0, 0, movie, _MATRIX, bytes(24), struct.pack(">I", 2)),
        _box("trak", track, media),
        _box("mvex", _full("trex", 0, 0, struct.pack(">IIIII", 1, 1, 0, 0, 0))),
    )


def segment_type() -> bytes:
    """Return the box that a media segment begins with."""
    return _box("styp", b"msdh", bytes(4), b"msdhcmfs")


def fragment_header(number: int, placed: Sequence[Placed], before_repeat: bytes = DELIMITER) -> bytes:
    """Return the `moof` box of a fragment, and the header of the `mdat` box that the units' bytes follow in."""
    sizes = [written_size(each, before_repeat) for each in placed]
    samples = b"".join(
        _SAMPLE.pack(
            each.duration,
            size,
            _SYNC if each.unit.keyframe else _NOT_SYNC,
            each.time - each.decode_time,
        )
        for each, size in zip(placed, sizes, strict=True)
    )

    def moof(offset: int) -> bytes:
        run = _full("trun", 1, _RUN_FLAGS, struct.pack(">Ii", len(placed), offset), samples)
        header = _full("tfhd", 0, _BASE_IS_MOOF, struct.pack(">I", 1))
        time = _full("tfdt", 1, 0, struct.pack(">Q", placed[0].decode_time))
        return _box("moof", _full("mfhd", 0, 0, struct.pack(">I", number)), _box("traf", header, time, run))

    length = len(moof(0))
    return moof(length + 8) + struct.pack(">I4s", 8 + sum(sizes), b"mdat")


def _box(kind: str, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind.encode("ascii")) + body


def _full(kind: str, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)


def _language(code: str) -> int:
    """Return an ISO 639-2 code as `mdhd` packs it."""
    letters = code if len(code) == 3 and code.isascii() and code.islower() else _UNDETERMINED
    first, second, third = (ord(letter) - 0x60 for letter in letters)
    return first << 10 | second << 5 | third
