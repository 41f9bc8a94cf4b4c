"""Boxes of MP4 files (ISO/IEC 14496-12), written."""

from __future__ import annotations

import struct

# No rotation and no stretching.
MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
UNDETERMINED = "und"


def box(kind: str, *parts: bytes) -> bytes:
    """Return a box of these parts."""
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind.encode("ascii")) + body


def full(kind: str, version: int, flags: int, *parts: bytes) -> bytes:
    """Return a box that tells its version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def packed_language(code: str) -> int:
    """Return an ISO 639-2 code as `mdhd` packs it."""
    letters = code if len(code) == 3 and code.isascii() and code.islower() else UNDETERMINED
    first, second, third = (ord(letter) - 0x60 for letter in letters)
    return first << 10 | second << 5 | third
