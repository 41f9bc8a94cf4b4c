"""Writes MP4 boxes by hand, so that a test says byte by byte what a file holds."""

from __future__ import annotations

import struct
from collections.abc import Sequence


def box(kind: str, *bodies: bytes) -> bytes:
    body = b"".join(bodies)
    return struct.pack(">I4s", 8 + len(body), kind.encode()) + body


def large_box(kind: str, body: bytes) -> bytes:
    """Return a box whose size takes 64 bits."""
    return struct.pack(">I4sQ", 1, kind.encode(), 16 + len(body)) + body


def full_box(kind: str, version: int, flags: int, *bodies: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *bodies)


def u32(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def i32(*values: int) -> bytes:
    return struct.pack(f">{len(values)}i", *values)


def u64(*values: int) -> bytes:
    return struct.pack(f">{len(values)}Q", *values)


def table(kind: str, entries: Sequence[bytes], version: int = 0) -> bytes:
    return full_box(kind, version, 0, u32(len(entries)), *entries)


def mvhd(timescale: int, version: int = 0) -> bytes:
    return full_box("mvhd", version, 0, bytes(16 if version else 8), u32(timescale, 0), bytes(80))


def tables(**replaced: bytes) -> bytes:
    """Return the sample tables of two chunks with 2 and 1 samples; a table can be replaced, or left out with b""."""
    usual = {
        "stts": table("stts", [u32(2, 100), u32(1, 50)]),
        "stss": table("stss", [u32(1), u32(3)]),
        "ctts": table("ctts", [u32(1, 200), u32(2, 0)]),
        "stsc": table("stsc", [u32(1, 2, 1), u32(2, 1, 1)]),
        "stsz": full_box("stsz", 0, 0, u32(0, 3, 11, 12, 13)),
        "stco": table("stco", [u32(1000), u32(2000)]),
    }
    return b"".join((usual | replaced).values())


def empty_tables() -> bytes:
    """Return the sample tables of an init segment."""
    sizes = full_box("stsz", 0, 0, u32(0, 0))
    return table("stts", []) + table("stsc", []) + sizes + table("stco", [])


def trak(
    number: int = 1,
    *,
    timescale: int = 1000,
    handler: str = "vide",
    codec: str = "avc1",
    stored: bytes | None = None,
    colr: bytes = b"",
    edts: bytes = b"",
    version: int = 0,
) -> bytes:
    times = bytes(16 if version else 8)
    entry = box(codec, bytes(78), colr) if handler == "vide" else box(codec, bytes(28))
    stbl = box("stbl", full_box("stsd", 0, 0, u32(1), entry), empty_tables() if stored is None else stored)
    mdia = box(
        "mdia",
        full_box("mdhd", version, 0, times, u32(timescale), bytes(8 if version else 4), bytes(4)),
        full_box("hdlr", 0, 0, bytes(4), handler.encode(), bytes(12)),
        box("minf", stbl),
    )
    return box("trak", full_box("tkhd", version, 7, times, u32(number), bytes(60)), edts, mdia)


def trex(number: int = 1, *, duration: int = 0, size: int = 0, flags: int = 0) -> bytes:
    return full_box("trex", 0, 0, u32(number, 1, duration, size, flags))


def moov(*traks: bytes, mvex: bytes = b"", timescale: int = 1000, version: int = 0) -> bytes:
    return box("moov", mvhd(timescale, version), *traks, box("mvex", mvex) if mvex else b"")


def tfdt(time: int, version: int = 1) -> bytes:
    return full_box("tfdt", version, 0, u64(time) if version else u32(time))


def traf(*children: bytes, number: int = 1, flags: int = 0x20000, fields: bytes = b"") -> bytes:
    return box("traf", full_box("tfhd", 0, flags, u32(number), fields), *children)


def moof(*trafs: bytes) -> bytes:
    return box("moof", full_box("mfhd", 0, 0, u32(1)), *trafs)
