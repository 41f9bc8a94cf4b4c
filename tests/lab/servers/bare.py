"""Messages as a foreign publisher may send them."""

from __future__ import annotations

from collections.abc import Callable

import aiormq
from aiormq.abc import ChannelFrame
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader


async def publish_bare(
    url: str,
    exchange: str,
    routing_key: str,
    body: bytes,
    properties: aiormq.spec.Basic.Properties | None = None,
    *,
    mangled: Callable[[bytes], bytes] = lambda frames: frames,
) -> None:
    """Publish a message with these properties and no others, as a foreign publisher may; return once it is confirmed.

    By hand, because aiormq gives every message an id, and checks what it sends; `mangled` changes what it would send.
    """
    async with aiormq.connect(url) as connection:
        channel = await connection.channel()
        assert isinstance(channel, aiormq.Channel)
        confirmed = channel.confirmations[1] = channel.create_future()
        frames: list[Frame | ContentHeader | ContentBody] = [
            aiormq.spec.Basic.Publish(exchange=exchange, routing_key=routing_key),
            ContentHeader(body_size=len(body), properties=properties or aiormq.spec.Basic.Properties()),
            *([ContentBody(body)] if body else []),
        ]
        frame = ChannelFrame.marshall(channel.number, frames)
        await channel.write_queue.put(ChannelFrame(mangled(frame.payload), should_close=False))
        await confirmed
