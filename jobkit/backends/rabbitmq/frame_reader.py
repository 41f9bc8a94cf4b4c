"""What comes from the socket, before aiormq sees it: a stream of whole frames, each of which can be decoded.

It does two things for which aiormq has no other place:

* The messages of a partition's queue are taken off the stream and handed to its consumer at once. aiormq passes each of
  a message's three frames through two tasks, decodes some of them twice, and starts a third task for the message: of
  all that is done for a short job, that was a quarter.
* Properties that cannot be decoded are replaced by one header that says why, and the message arrives as one that is no
  job. aiormq would end the connection over it, and the message come again with the next one, and end that: text that is
  not UTF-8, from one publisher, would stop every partition for good.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aiormq import spec
from aiormq.abc import DeliveredMessage
from pamqp import frame
from pamqp.header import ContentHeader

UNREADABLE = "jobkit-unreadable"

# Type, channel and size of a frame; its end is one byte more.
_HEAD: Final = struct.Struct(">BHI")
_METHOD, _CONTENT_HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_END: Final = 0xCE
# Class and method of Basic.Deliver, and what follows its consumer tag: the delivery tag, and whether it came before.
_DELIVER: Final = struct.pack(">HH", 60, 60)
_TAG: Final = struct.Struct(">QB")
# Class, weight and size of the body, at the start of a content header.
_CONTENT: Final = struct.Struct(">HHQ")
# What is taken off the stream shows that the server lives, too; aiormq is told so this often, in seconds.
_ALIVE_SECONDS: Final = 0.5
_HEARTBEAT_FRAME: Final = _HEAD.pack(_HEARTBEAT, 0, 0) + bytes([_END])


@dataclass(frozen=True, slots=True)
class Delivered:
    """One message of a queue, as it came on a channel under `tag`."""

    tag: int
    redelivered: bool
    properties: spec.Basic.Properties
    body: bytes


def delivered(message: DeliveredMessage) -> Delivered:
    """Return a message that aiormq read, where there is no frame reader."""
    return Delivered(message.delivery_tag or 0, bool(message.redelivered), message.header.properties, message.body)


@dataclass(slots=True)
class _Coming:
    """A message of which some frames are still to come."""

    tag: int
    redelivered: bool
    properties: spec.Basic.Properties | None = None
    missing: int = 0
    parts: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class _Taker:
    """Who takes the messages that come for one consumer tag of a channel."""

    consumer_tag: bytes
    take: Callable[[Delivered], None]
    coming: _Coming | None = None


class FrameReader(asyncio.StreamReader):
    """The stream that aiormq reads. Only whole frames are ever put on it, except for what is no frame at all."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__(loop=loop)
        self._clock = loop or asyncio.get_running_loop()
        self._takers: dict[int, _Taker] = {}
        self._begun = b""
        self._alive_at = float("-inf")

    def take(self, channel: int, consumer_tag: str, take: Callable[[Delivered], None]) -> None:
        """Have the messages for a consumer of a channel handed to `take`, which must not raise or wait."""
        self._takers[channel] = _Taker(consumer_tag.encode(), take)

    def take_no_more(self, channel: int) -> None:
        """Let what comes on a channel go to aiormq again."""
        self._takers.pop(channel, None)

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # wider there; a socket reads bytes
        """Take what the socket has read."""
        data = self._begun + data if self._begun else data
        at, passed = 0, []
        while len(data) - at > _HEAD.size:
            kind, channel, size = _HEAD.unpack_from(data, at)
            end = at + _HEAD.size + size + 1
            if kind not in (_METHOD, _CONTENT_HEADER, _BODY, _HEARTBEAT):
                # Not a frame; what it is, aiormq will say.
                end = len(data)
            if end > len(data):
                break
            taker = self._takers.get(channel)
            if taker is None or not _took(taker, kind, data, at + _HEAD.size, end - 1):
                whole = data[at:end]
                passed.append(readable(whole) if kind == _CONTENT_HEADER else whole)
            at = end
        self._begun = data[at:]
        if passed:
            super().feed_data(b"".join(passed))
        elif at and self._clock.time() - self._alive_at > _ALIVE_SECONDS:
            self._alive_at = self._clock.time()
            super().feed_data(_HEARTBEAT_FRAME)

    def feed_eof(self) -> None:
        """Take note that nothing more will come; a frame that was cut off is for aiormq to complain of."""
        if self._begun:
            super().feed_data(self._begun)
            self._begun = b""
        super().feed_eof()


def _took(taker: _Taker, kind: int, data: bytes, start: int, end: int) -> bool:
    """Take a frame, whose payload lies from `start` to `end`, if it belongs to a message for the taker."""
    coming = taker.coming
    if kind == _METHOD:
        if data[start : start + 4] != _DELIVER:
            return False
        tag_at = start + 5 + data[start + 4]
        if data[start + 5 : tag_at] != taker.consumer_tag:
            return False
        tag, bits = _TAG.unpack_from(data, tag_at)
        taker.coming = _Coming(tag, bool(bits & 1))
        return True
    if coming is None or data[end] != _END:
        return False
    if kind == _CONTENT_HEADER:
        _, _, coming.missing = _CONTENT.unpack_from(data, start)
        coming.properties = _properties(data[start:end])
    else:
        coming.parts.append(data[start:end])
        coming.missing -= end - start
    if coming.missing <= 0 and coming.properties is not None:
        taker.coming = None
        taker.take(Delivered(coming.tag, coming.redelivered, coming.properties, b"".join(coming.parts)))
    return True


def _properties(content: bytes) -> spec.Basic.Properties:
    """Return the properties in the payload of a content header, or why they cannot be decoded."""
    header = ContentHeader()
    try:
        header.unmarshal(content)
    except Exception as error:  # noqa: BLE001  (whatever the decoder trips over, it must not do so in the connection)
        return _unreadable(error)
    return header.properties


def readable(content_header: bytes) -> bytes:
    """Return the frame as it is where it can be decoded, or one that says why not."""
    try:
        frame.unmarshal(content_header)
    except Exception as error:  # noqa: BLE001  (as above)
        _, channel, _ = _HEAD.unpack_from(content_header)
        _, _, size = _CONTENT.unpack_from(content_header, _HEAD.size)
        return frame.marshal(ContentHeader(body_size=size, properties=_unreadable(error)), channel)
    return content_header


def _unreadable(error: Exception) -> spec.Basic.Properties:
    return spec.Basic.Properties(headers={UNREADABLE: f"{error.__class__.__name__}: {error}"[:500]})
