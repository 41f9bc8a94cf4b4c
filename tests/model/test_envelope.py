"""The envelope: packed and unpacked, and what makes two the same job."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobkit.model.envelope import SCHEMA_VERSION, Envelope
from jobkit.model.notice import ENDS, Notice
from jobkit.model.priority import Priority

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=50)


def saying(inside: tuple[str, ...], notice: Notice) -> Notice:
    """Return the notice with a body that has a place inside these objects."""
    body: dict[str, object] = {}
    for name in reversed(inside):
        body = {name: body}
    return replace(notice, inside=inside, body=json.dumps(body)) if inside else notice


notices = st.builds(
    saying,
    st.lists(text, max_size=2).map(tuple),
    st.builds(
        Notice,
        id=text,
        type=text,
        key=st.none() | text,
        body=text,
        inside=st.just(()),
        priority=st.sampled_from(Priority),
        version=st.integers(1, 5),
        on=st.lists(st.sampled_from(ENDS), min_size=1, unique=True).map(tuple),
    ),
)
envelopes = st.builds(
    Envelope,
    id=text,
    type=text,
    body=st.binary(),
    key=st.none() | text,
    sequence=st.none() | st.integers(1, 2**63 - 1),
    submitted_at=st.floats(allow_nan=False, allow_infinity=False),
    trace=st.dictionaries(text, text, max_size=3),
    schema=st.just(SCHEMA_VERSION),
    version=st.integers(1, 5),
    extra=st.dictionaries(text.map("new {}".format), st.none() | text | st.integers() | st.lists(text), max_size=2),
    notices=st.lists(notices, max_size=2).map(tuple),
)


@given(envelopes)
def test_unpacking_is_the_inverse_of_packing(envelope: Envelope) -> None:
    assert Envelope.unpack(envelope.pack()) == envelope


@given(envelopes)
def test_the_head_is_one_line_of_json_and_the_payload_follows_as_it_came(envelope: Envelope) -> None:
    head, _, body = envelope.pack().partition(b"\n")
    assert json.loads(head)["id"] == envelope.id
    assert body == envelope.body


def test_a_message_needs_only_type_id_and_body() -> None:
    envelope = Envelope.unpack(b'{"type":"t","id":"x"}\n{"a":1}')
    assert envelope == Envelope(id="x", type="t", body=b'{"a":1}')
    assert (envelope.key, envelope.sequence, envelope.schema) == (None, None, 1)


def test_a_whole_number_may_be_a_time() -> None:
    assert Envelope.unpack(b'{"type":"t","id":"x","submitted_at":17}\n').submitted_at == 17


_TOLD = b'{"id":"n","type":"told","key":%s,"body":"{}","inside":%s}'


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        (b"", "head: Invalid JSON"),
        (b"{", "head: Invalid JSON"),
        (b"[]", "head: Input should be an object"),
        (b'{"id":"x"}', "type: Field required"),
        (b'{"id":1,"type":"t"}', "id: Input should be a valid string"),
        (b'{"id":"x","type":"t","sequence":true}', "sequence: Input should be a valid integer"),
        (b'{"id":"x","type":"t","sequence":1.0}', "sequence: Input should be a valid integer"),
        (b'{"id":"x","type":"t","trace":{"a":1}}', "trace.a: Input should be a valid string"),
        (b'{"id":"x","type":"t","schema":2,"sequence":"1"}', "sequence: Input should be a valid integer"),
        (b'{"id":"x","type":"t","priority":"urgent"}', "priority: Input should be"),
        (b'{"id":"x","type":"t","version":0}', "version: Input should be"),
        (b'{"id":"x","type":"t","notices":[{"id":"n"}]}', "notices.0.type: Field required"),
        (b'{"id":"x","type":"t","notices":[%s]}' % _TOLD % (b'"a\\u0000"', b"[]"), "notices.0.key.*NUL"),
        (b'{"id":"x","type":"t","notices":[%s]}' % _TOLD % (b"null", b'["a"]'), "notices.0: .* no such place"),
    ],
)
def test_what_is_wrong_with_a_head_is_named(head: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Envelope.unpack(head + b"\n{}")


@given(st.binary(max_size=200))
def test_whatever_arrives_is_an_envelope_or_a_value_error(packed: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert Envelope.unpack(packed).id


@pytest.mark.parametrize(
    "head",
    [
        b'{"id":"x","type":"t","body":"b"}',
        b'{"id":"x","type":"t","schema_":1}',
        b'{"id":"x","type":"t","schema":2,"priority":"urgent","trace":7,"more":{"a":[1]}}',
    ],
)
def test_what_another_version_wrote_is_handed_on_as_it_came(head: bytes) -> None:
    envelope = Envelope.unpack(head + b"\n{}")
    assert envelope.extra
    for handed_on in (envelope, envelope.with_key("k").with_sequence(3)):
        again = json.loads(Envelope.head(handed_on.pack()))
        assert json.loads(head).items() <= again.items()
        assert Envelope.unpack(handed_on.pack()) == handed_on


def test_a_deeply_nested_head_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="head"):
        Envelope.unpack(b'{"id":' + b"[" * 100_000)


def test_the_digest_is_the_documented_one() -> None:
    """SHA-256 over type, key and payload, each with its length in 8 bytes, big-endian, before it."""
    parts = (b"t", "k\u00e9".encode(), b"body")
    expected = hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).hexdigest()
    assert Envelope(id="x", type="t", key="k\u00e9", body=b"body").digest() == expected


@given(envelopes, st.sampled_from(["type", "key", "body"]))
def test_another_type_key_or_payload_is_another_job(envelope: Envelope, changed: str) -> None:
    values: dict[str, Any] = {
        "type": envelope.type + "x",
        "key": (envelope.key or "") + "x",
        "body": b"x" + envelope.body,
    }
    other = dataclasses.replace(envelope, **{changed: values[changed]})
    assert other.digest() != envelope.digest()


@given(envelopes, envelopes)
def test_nothing_else_makes_it_another_job(one: Envelope, other: Envelope) -> None:
    same = dataclasses.replace(other, type=one.type, key=one.key, body=one.body)
    assert same.digest() == one.digest()


def test_parts_cannot_be_shifted_into_each_other() -> None:
    assert Envelope("x", "ab", b"c", key="d").digest() != Envelope("x", "a", b"c", key="bd").digest()


def test_a_derived_key_is_put_on_a_copy() -> None:
    envelope = Envelope("x", "t", b"")
    assert (envelope.with_key("k").key, envelope.key) == ("k", None)


def test_a_copy_that_was_changed_is_packed_anew() -> None:
    envelope = Envelope("x", "t", b"body", key="k", notices=(Notice("n", "told", "k", "{}", ()),))
    packed = envelope.pack()
    assert envelope.pack() == packed
    changed = envelope.with_key("other"), envelope.with_sequence(7), dataclasses.replace(envelope, body=b"other")
    assert [Envelope.unpack(copy.pack()) for copy in changed] == list(changed)
