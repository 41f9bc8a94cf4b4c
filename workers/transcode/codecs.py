"""The formats that pictures are coded in, and what players are told of a file's (RFC 6381)."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from workers.transcode.box_reader import MalformedMp4

# Where the boxes of a visual sample entry begin: behind the head of `stsd`, its own, and its fixed fields.
_ENTRY_AT, _BOXES_AT = 8, 8 + 8 + 78
_HEAD = 8


class VideoCodec(StrEnum):
    """A format of pictures."""

    H264 = "h264"
    HEVC = "hevc"
    AV1 = "av1"
    VP9 = "vp9"


def codec_string(description: bytes) -> str:
    """Return what a player is told of a video track; `description` is the body of its `stsd` box.

    Raises `MalformedMp4` where it is of no format that is made here.
    """
    kind = description[_ENTRY_AT + 4 : _ENTRY_AT + 8]
    box, told = _TOLD.get(kind, (b"", None))
    config = _box(description, box)
    if told is None or config is None:
        raise MalformedMp4(f"its pictures are {kind.decode('latin-1')!r}, without what a decoder needs to know")
    try:
        return f"{kind.decode('ascii')}.{told(config)}"
    except IndexError:
        raise MalformedMp4(f"its {box.decode('ascii')} box is too short") from None


def _box(description: bytes, kind: bytes) -> bytes | None:
    """Return the body of a box of the first sample entry."""
    at = _BOXES_AT
    while at + _HEAD <= len(description):
        size = int.from_bytes(description[at : at + 4], "big")
        if size < _HEAD:
            return None
        if description[at + 4 : at + _HEAD] == kind:
            return description[at + _HEAD : at + size]
        at += size
    return None


def _avc(config: bytes) -> str:
    return config[1:4].hex().upper()


def _hevc(config: bytes) -> str:
    space = ("", "A", "B", "C")[config[1] >> 6]
    tier = "H" if config[1] & 0x20 else "L"
    # The first of the flags is the lowest bit.
    compatible = int(f"{int.from_bytes(config[2:6], 'big'):032b}"[::-1], 2)
    constraints = [f"{octet:X}" for octet in config[6:12].rstrip(b"\0")]
    return ".".join([f"{space}{config[1] & 0x1F}", f"{compatible:X}", f"{tier}{config[12]}", *constraints])


def _av1(config: bytes) -> str:
    tier = "H" if config[2] & 0x80 else "M"
    depth = (12 if config[2] & 0x20 else 10) if config[2] & 0x40 else 8
    return f"{config[1] >> 5}.{config[1] & 0x1F:02d}{tier}.{depth:02d}"


def _vp9(config: bytes) -> str:
    return f"{config[4]:02d}.{config[5]:02d}.{config[6] >> 4:02d}"


# By sample entry: the box that says more, and how it is told.
_TOLD: dict[bytes, tuple[bytes, Callable[[bytes], str]]] = {
    b"avc1": (b"avcC", _avc),
    b"hvc1": (b"hvcC", _hevc),
    b"av01": (b"av1C", _av1),
    b"vp09": (b"vpcC", _vp9),
}
