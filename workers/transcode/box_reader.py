"""Boxes of MP4 files (ISO/IEC 14496-12): walking through them, and taking the fields out of one."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

# An index has about 20 bytes for each sample, so this is more than a day at 60 pictures a second.
LARGEST_INDEX_BYTES = 256 * 2**20

U32, U64, I32 = struct.Struct(">I"), struct.Struct(">Q"), struct.Struct(">i")

_HEADER = struct.Struct(">I4s")
_LONGEST_HEADER_BYTES = 16


class MalformedMp4(ValueError):
    """A file is not MP4 as the standard has it, or uses a part of it that is not read here."""


class Fields:
    """Takes one field after another from the body of a box. Raises `MalformedMp4` where it ends too early."""

    def __init__(self, body: memoryview, where: str) -> None:
        self._body = body
        self._where = where
        self._at = 0

    def take(self, shape: struct.Struct) -> tuple[int, ...]:
        return shape.unpack(self.octets(shape.size))

    def number(self, shape: struct.Struct = U32) -> int:
        return self.take(shape)[0]

    def octets(self, count: int) -> memoryview:
        found = self._body[self._at : self._at + count]
        if len(found) < count:
            raise MalformedMp4(f"{self._where}: it ends {count - len(found)} bytes too early")
        self._at += count
        return found

    def versioned(self) -> tuple[int, int]:
        """Return version, 0 or 1 in all boxes that are read here, and flags."""
        word = self.number()
        version, flags = word >> 24, word & 0xFFFFFF
        if version > 1:
            raise MalformedMp4(f"{self._where}: its version {version} is not known")
        return version, flags

    def wide(self, version: int) -> int:
        """Return a number that has 64 bits from version 1 on."""
        return self.number(U64 if version else U32)

    def table(self, entry: struct.Struct) -> bytes:
        """Return the entries of a table that begins with their count."""
        return bytes(self.octets(self.number() * entry.size))


@dataclass(frozen=True, slots=True)
class Box:
    """One box: its body, and where it starts in the file and how long its header is. `where` names it in messages."""

    kind: str
    start: int
    header: int
    body: memoryview
    where: str

    def children(self, skip: int = 0) -> Iterator[Box]:
        """Yield the boxes within, behind `skip` bytes of the box's own fields."""
        at = skip
        while at < len(self.body):
            head = self.body[at : at + _LONGEST_HEADER_BYTES]
            kind, header, size = _box_header(head, len(self.body) - at, self.where)
            start = self.start + self.header + at
            yield Box(kind, start, header, self.body[at + header : at + size], f"{self.where}/{kind}")
            at += size

    def all(self, kind: str) -> Iterator[Box]:
        """Yield the boxes of a kind that lie directly within."""
        return (child for child in self.children() if child.kind == kind)

    def find(self, *path: str) -> Box | None:
        """Return the first box at a path of kinds."""
        box: Box | None = self
        for kind in path:
            box = next(box.all(kind), None) if box is not None else None
        return box

    def need(self, *path: str) -> Box:
        """Return the first box at a path of kinds. Raises `MalformedMp4` where there is none."""
        found = self.find(*path)
        if found is None:
            raise MalformedMp4(f"{self.where}: it has no {'/'.join(path)} box")
        return found

    def fields(self) -> Fields:
        """Return a reader of the body's fields."""
        return Fields(self.body, self.where)


def index_boxes(file: BinaryIO, name: str) -> Iterator[Box]:
    """Yield the index and the fragments of a file, one in memory at a time; what lies between them is passed over."""
    end = file.seek(0, 2)
    at = 0
    while at < end:
        file.seek(at)
        kind, header, size = _box_header(file.read(_LONGEST_HEADER_BYTES), end - at, name, last_reaches=True)
        if kind in ("moov", "moof"):
            if size > LARGEST_INDEX_BYTES:
                raise MalformedMp4(f"{name}: box {kind!r} has {size} bytes, more than {LARGEST_INDEX_BYTES}")
            file.seek(at + header)
            yield Box(kind, at, header, memoryview(file.read(size - header)), f"{name}: {kind}")
        at += size


def _box_header(head: bytes | memoryview, left: int, where: str, *, last_reaches: bool = False) -> tuple[str, int, int]:
    """Return a box's kind, and the sizes of its header and of all of it. Raises `MalformedMp4`."""
    if len(head) < _HEADER.size:
        raise MalformedMp4(f"{where}: {len(head)} bytes are left over, too few for a box")
    size, kind = _HEADER.unpack(head[: _HEADER.size])
    header = _HEADER.size
    if size == 1 and len(head) >= header + U64.size:
        (size,) = U64.unpack(head[header : header + U64.size])
        header += U64.size
    elif size == 0 and last_reaches:
        size = left
    name = kind.decode("latin-1")
    if not header <= size <= left:
        raise MalformedMp4(f"{where}: box {name!r} says it has {size} bytes, where {left} are left")
    return name, header, size
