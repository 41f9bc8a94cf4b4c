"""What is read from the socket, made readable: aiormq ends a connection over a message's properties it cannot decode.

That message would come again with the next connection, and end that: text that is not UTF-8, from one publisher, would
stop every partition for good. So properties that cannot be decoded are replaced by one header that says why, and the
message arrives as one that is no job.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Final

from aiormq import spec
from pamqp import frame
from pamqp.header import ContentHeader

UNREADABLE = "jobkit-unreadable"

# Type, channel and size of a frame; its end is one byte more.
_HEAD: Final = struct.Struct(">BHI")
_METHOD, _CONTENT_HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
# Class, weight and size of the body, at the start of a content header.
_CONTENT: Final = struct.Struct(">HHQ")


class FrameReader(asyncio.StreamReader):
    """A stream of AMQP frames, each of which can be decoded."""

    _frame = b""

    async def readexactly(self, n: int) -> bytes:
        """Return the next bytes; only whole frames are ever taken from the socket."""
        if not self._frame:
            self._frame = await self._next_frame()
        wanted, self._frame = self._frame[:n], self._frame[n:]
        return wanted

    async def _next_frame(self) -> bytes:
        head = await super().readexactly(_HEAD.size)
        kind, _, size = _HEAD.unpack(head)
        if kind not in (_METHOD, _CONTENT_HEADER, _BODY, _HEARTBEAT):
            # Not a frame; what it is, aiormq will say.
            return head
        whole = head + await super().readexactly(size + 1)
        return readable(whole) if kind == _CONTENT_HEADER else whole


def readable(content_header: bytes) -> bytes:
    """Return the frame as it is where it can be decoded, or one that says why not."""
    try:
        frame.unmarshal(content_header)
    except Exception as error:  # noqa: BLE001  (whatever the decoder trips over, it must not do so in the connection)
        _, channel, _ = _HEAD.unpack_from(content_header)
        _, _, size = _CONTENT.unpack_from(content_header, _HEAD.size)
        reason = spec.Basic.Properties(headers={UNREADABLE: f"{error.__class__.__name__}: {error}"[:500]})
        return frame.marshal(ContentHeader(body_size=size, properties=reason), channel)
    return content_header
