"""Frames are handed on whole and readable, and messages to who takes them, however the bytes arrive."""

from __future__ import annotations

import asyncio
import itertools
import struct

import pytest
from aiormq import spec
from hypothesis import given
from hypothesis import strategies as st
from pamqp import frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from jobkit.backends.rabbitmq.frame_reader import UNREADABLE, Delivered, FrameReader, readable

Properties = spec.Basic.Properties


def content_header(properties: bytes, *, flags: int, channel: int = 3, size: int = 77) -> bytes:
    payload = struct.pack(">HHQH", 60, 0, size, flags) + properties
    return struct.pack(">BHI", 2, channel, len(payload)) + payload + b"\xce"


def decoded(whole: bytes) -> ContentHeader:
    _, channel, header = frame.unmarshal(whole)
    assert isinstance(header, ContentHeader)
    assert channel == 3
    return header


@given(st.binary(max_size=60), st.integers(0, 0xFFFF).map(lambda flags: flags & 0xFFFE))
def test_any_properties_become_readable_and_the_body_keeps_its_size(properties: bytes, flags: int) -> None:
    assert decoded(readable(content_header(properties, flags=flags))).body_size == 77


def test_what_can_be_read_is_left_alone() -> None:
    whole = frame.marshal(ContentHeader(body_size=77, properties=Properties(message_id="a", headers={"n": 1})), 3)
    assert readable(whole) is whole


def test_what_cannot_be_read_says_why() -> None:
    header = decoded(readable(content_header(b"\x02\xff\xfe", flags=0x80)))
    assert header.properties.headers is not None
    assert "can't decode byte" in str(header.properties.headers[UNREADABLE])


@pytest.mark.parametrize("step", [1, 2, 7, 64])
async def test_frames_are_read_whole_however_they_arrive(step: int) -> None:
    bad = content_header(b"\x02\xff\xfe", flags=0x80)
    body = struct.pack(">BHI", 3, 3, 4) + b"body\xce"
    sent = bad + body + b"\x08\0\0\0\0\0\0\xce"
    reader = FrameReader()

    async def arrive() -> None:
        for start in range(0, len(sent), step):
            reader.feed_data(sent[start : start + step])
            await asyncio.sleep(0)
        reader.feed_eof()

    arriving = asyncio.create_task(arrive())
    got = []
    for _ in range(3):
        # As aiormq reads: the type, the rest of the head, and what that says.
        head = await reader.readexactly(1) + await reader.readexactly(6)
        got.append(head + await reader.readexactly(struct.unpack(">BHI", head)[2] + 1))
    assert got[0] == readable(bad)
    assert b"".join(got[1:]) == body + b"\x08\0\0\0\0\0\0\xce"
    with pytest.raises(asyncio.IncompleteReadError):
        await reader.readexactly(1)
    await arriving


async def test_what_is_no_frame_is_handed_on_as_it_is() -> None:
    reader = FrameReader()
    # What a server says to a version of the protocol that it does not speak.
    reader.feed_data(b"AMQP\0\0\x09\x01")
    assert await reader.readexactly(1) + await reader.readexactly(6) == b"AMQP\0\0\x09"


def delivery(tag: int, body: bytes, *, consumer: str = "me", channel: int = 3, redelivered: bool = False) -> bytes:
    """Return the frames of a message, its body in frames of at most 4 bytes."""
    method = spec.Basic.Deliver(consumer, tag, redelivered, "", "jobkit.t.0")
    header = ContentHeader(body_size=len(body), properties=Properties(message_id=f"id-{tag}"))
    parts = [ContentBody(body[at : at + 4]) for at in range(0, len(body), 4)]
    return b"".join(frame.marshal(each, channel) for each in (method, header, *parts))


def interleaved(*streams: list[bytes]) -> bytes:
    return b"".join(piece for pieces in itertools.zip_longest(*streams, fillvalue=b"") for piece in pieces)


def frames_of(stream: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(stream):
        end = at + 7 + struct.unpack_from(">BHI", stream, at)[2] + 1
        found.append(stream[at:end])
        at = end
    return found


async def left_over(reader: FrameReader) -> bytes:
    reader.feed_eof()
    return await reader.read()


@pytest.mark.parametrize("step", [1, 3, 8, 100, 10_000])
async def test_messages_are_taken_off_the_stream_and_everything_else_is_left_on_it(step: int) -> None:
    got: list[Delivered] = []
    reader = FrameReader()
    reader.take(3, "me", got.append)
    ack = frame.marshal(spec.Basic.Ack(1), 9)
    # Frames of other channels may come between those of one message; those for other consumers are not ours to take.
    ours = frames_of(delivery(1, b"first body") + delivery(2, b"", redelivered=True) + delivery(3, b"x" * 9))
    others = frames_of(delivery(1, b"elsewhere", channel=4) + ack + delivery(2, b"again", channel=4))
    sent = interleaved(ours, others) + delivery(4, b"notices", consumer="notices")
    for start in range(0, len(sent), step):
        reader.feed_data(sent[start : start + step])
    assert [(one.tag, one.redelivered, one.properties.message_id, one.body) for one in got] == [
        (1, False, "id-1", b"first body"),
        (2, True, "id-2", b""),
        (3, False, "id-3", b"x" * 9),
    ]
    left = [one for one in frames_of(await left_over(reader)) if one[0] != 8]
    assert left == others + frames_of(delivery(4, b"notices", consumer="notices"))


async def test_a_message_with_properties_that_cannot_be_read_is_taken_and_says_why() -> None:
    got: list[Delivered] = []
    reader = FrameReader()
    reader.take(3, "me", got.append)
    method, _, *body = frames_of(delivery(1, b"body"))
    reader.feed_data(method + content_header(b"\x02\xff\xfe", flags=0x80, size=4) + b"".join(body))
    (message,) = got
    assert message.body == b"body"
    assert message.properties.headers is not None
    assert "can't decode byte" in str(message.properties.headers[UNREADABLE])


async def test_a_stream_of_nothing_but_messages_shows_that_the_server_lives() -> None:
    reader = FrameReader()
    reader.take(3, "me", lambda _: None)
    for tag in range(1, 500):
        reader.feed_data(delivery(tag, b"body"))
    heartbeats = frames_of(await left_over(reader))
    assert set(heartbeats) == {b"\x08\0\0\0\0\0\0\xce"}
    # Not one for each, which would cost as much as what is saved.
    assert len(heartbeats) < 100


async def test_what_is_no_longer_taken_goes_on() -> None:
    reader = FrameReader()
    reader.take(3, "me", lambda _: None)
    reader.take_no_more(3)
    reader.feed_data(delivery(1, b"body"))
    assert await left_over(reader) == delivery(1, b"body")
