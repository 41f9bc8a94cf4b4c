"""Frames are handed on whole and readable, whatever is in their properties and however they arrive."""

from __future__ import annotations

import asyncio
import struct

import pytest
from aiormq import spec
from hypothesis import given
from hypothesis import strategies as st
from pamqp import frame
from pamqp.header import ContentHeader

from jobkit.backends.rabbitmq.wire import UNREADABLE, FrameReader, readable

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
