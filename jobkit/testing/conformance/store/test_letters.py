"""Dead letters of messages: one for each message, with what it said, whatever it said."""

from __future__ import annotations

import pytest

from jobkit.model.envelope import Envelope, Heading
from jobkit.model.fence import Receipt
from jobkit.model.names import KEY, TYPE_CHARACTERS
from jobkit.testing.conformance.harness import FullStore
from jobkit.testing.conformance.values import envelope


async def test_distinct_malformed_messages_with_equal_bodies_are_distinct_letters(store: FullStore) -> None:
    for number in range(100):
        await store.bury_message(b"same", None, reason="malformed", heading=Heading(id=f"m{number}"))
    assert [letter.id for letter in await store.dead()] == [f"m{number}" for number in range(100)]


@pytest.mark.parametrize(
    "other",
    [Heading(id="b"), Heading(id="a", type="u"), Heading(id="a", key="k"), Heading(id="a", headers={"x": "2"})],
)
async def test_messages_that_differ_in_anything_that_was_read_are_two(store: FullStore, other: Heading) -> None:
    for heading in (Heading(id="a", headers={"x": "1"}), other):
        await store.bury_message(b"", None, reason="malformed", heading=heading)
    assert len(await store.dead()) == 2


async def test_a_message_that_comes_again_makes_no_second_letter_whoever_reads_it(store: FullStore) -> None:
    heading = Heading("a", "t", "k", {"x": "1"})
    await store.bury_message(b"?", None, reason="malformed", heading=heading)
    await store.bury_message(b"?", None, reason="told otherwise by a newer worker", heading=heading)
    (letter,) = await store.dead()
    assert letter.reason == "malformed"


async def test_a_letter_keeps_what_the_message_said(store: FullStore) -> None:
    heading = Heading("a", "t", "k", {"traceparent": "00-1", "ü": ""})
    await store.bury_message(b"?", None, reason="malformed", heading=heading)
    (letter,) = await store.dead()
    assert (letter.id, letter.type, letter.key, dict(letter.headers)) == (
        "a",
        "t",
        "k",
        {"traceparent": "00-1", "ü": ""},
    )
    assert await store.dead_letter(letter.number) == letter
    assert await store.job("a") is None


UNKEEPABLE = {
    "a key of 3,200 characters with a sequence": envelope("a", key="ü" * 1_600 + "k" * 1_600, sequence=7),
    "a NUL in the id": envelope("a\0b"),
    "a NUL in the key": envelope("a", key="\0"),
    "half a character in the key": envelope("a", key="\ud800"),
    "half a character in the type": envelope("a", type="\udfff"),
    "an id without end": envelope("a" * 5_000),
    "a sequence beyond all numbers": envelope("a", sequence=2**63),
    "a schema beyond all numbers": Envelope(id="a", type="t", body=b"", key="k", schema=2**40),
}


@pytest.mark.parametrize("message", UNKEEPABLE.values(), ids=UNKEEPABLE.keys())
async def test_a_message_that_no_store_can_keep_is_a_letter_all_the_same(store: FullStore, message: Envelope) -> None:
    for _ in range(2):
        assert isinstance(await store.bury_message(message.body, message, reason="malformed"), Receipt)
    (letter,) = await store.dead()
    assert letter.id is not None
    assert await store.requeue_dead(letter.number) is None
    assert await store.purge_dead(letter.number)


async def test_a_letter_takes_any_reason_detail_and_headers(store: FullStore) -> None:
    heading = Heading("\0", "\ud800", "\udfff" * 5_000, {"\0": "\ud800"})
    await store.bury_message(b"\0\xff", None, reason="\ud800\0", detail="\udfff", heading=heading)
    (letter,) = await store.dead()
    assert (letter.raw, letter.id) == (b"\0\xff", "\\x00")
    assert letter.reason == "\\ud800\\x00"


async def test_the_longest_key_there_may_be_is_kept_everywhere(store: FullStore) -> None:
    key = "ü" * (KEY.limit // 2)
    job = envelope("i" * 200, type="y" * TYPE_CHARACTERS, key=key, sequence=2)
    await store.park(job, reason="gap")
    await store.bury_message(
        b"", envelope("i" * 199, type="y" * TYPE_CHARACTERS, key=key, sequence=3), reason="invalid"
    )
    assert [gap.key for gap in await store.gaps()] == [key]
    assert [letter.key for letter in await store.dead()] == [key]
