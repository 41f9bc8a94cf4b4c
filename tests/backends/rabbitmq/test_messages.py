"""Envelopes as messages, and whatever else may be in a queue."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from aiormq import spec
from hypothesis import given
from hypothesis import strategies as st
from pamqp import frame
from pamqp.header import ContentHeader

from jobkit.backends.rabbitmq.frame_reader import Delivered
from jobkit.backends.rabbitmq.messages import (
    DELAY_LEFT,
    DELAYED,
    MAX_BODY_BYTES,
    Message,
    delay_left,
    delayed,
    to_delivery,
    to_message,
    too_large_for,
)
from jobkit.model.envelope import SCHEMA_VERSION, Envelope
from jobkit.model.notice import Notice
from jobkit.model.partition import Partition
from jobkit.ports.broker import Delivery

HERE = Partition("t", 0)
Properties = spec.Basic.Properties


def over_the_wire(properties: Properties) -> Properties:
    """Return the properties as they arrive."""
    _, _, header = frame.unmarshal(frame.marshal(ContentHeader(body_size=0, properties=properties), 1))
    assert isinstance(header, ContentHeader)
    arrived: Properties = header.properties
    return arrived


def arrived(message: Message, *, redelivered: bool = False) -> Delivery:
    return to_delivery(Delivered(7, redelivered, over_the_wire(message.properties), message.body), HERE)


def foreign(body: bytes = b"{}", **properties: Any) -> Delivery:
    return arrived(Message("q", body, Properties(**properties)))


text = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=60)


@given(
    st.builds(
        Envelope,
        id=text,
        type=st.just("t"),
        body=st.binary(max_size=100),
        key=st.none() | text,
        sequence=st.none() | st.integers(1, 2**63 - 1),
        submitted_at=st.floats(allow_nan=False, allow_infinity=False),
        trace=st.dictionaries(st.sampled_from(["traceparent", "tracestate", "baggage", "b3", "uber-trace-id"]), text),
        notices=st.just(()) | st.just((Notice("n", "told", None, "{}", (), on=("dead", "expired")),)),
    )
)
def test_an_envelope_arrives_as_it_was_sent(envelope: Envelope) -> None:
    delivery = arrived(to_message(envelope, "q"))
    assert delivery == Delivery(7, envelope.body, envelope, "", redelivered=False)


def test_messages_are_persistent_and_named_for_tools() -> None:
    message = to_message(Envelope(id="a", type="t", body=b"{}", trace={"traceparent": "00-1-2-03"}), "q")
    properties = message.properties
    assert (properties.delivery_mode, properties.message_id, properties.message_type) == (2, "a", "t")
    assert properties.headers is not None
    assert properties.headers["traceparent"] == "00-1-2-03"
    assert properties.headers["jobkit-schema"] == SCHEMA_VERSION
    assert (properties.content_type, properties.app_id) == ("application/json", "jobkit")


def test_an_id_and_a_body_are_enough_for_a_job() -> None:
    assert foreign(b'{"n": 1}', message_id="a").envelope == Envelope(id="a", type="t", body=b'{"n": 1}')


def test_a_foreign_publisher_may_give_the_time_in_the_standard_property() -> None:
    sent = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
    envelope = foreign(message_id="a", timestamp=sent).envelope
    assert envelope is not None
    assert envelope.submitted_at == sent.timestamp()


_NOTICE = '[{"id":"n","type":"t","key":null,"body":"{}","inside":[],"on":[%s]}]'


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({}, "message id"),
        ({"message_id": "x" * 201}, "message id"),
        ({"message_id": "a\0b"}, "message id"),
        ({"message_id": "a", "message_type": "other"}, "its type is 'other'"),
        ({"message_id": "a", "headers": {"jobkit-key": 7}}, "jobkit-key"),
        ({"message_id": "a", "headers": {"jobkit-key": "a\0"}}, "jobkit-key"),
        ({"message_id": "a", "headers": {"jobkit-sequence": "7"}}, "jobkit-sequence"),
        ({"message_id": "a", "headers": {"jobkit-sequence": 0}}, "jobkit-sequence"),
        ({"message_id": "a", "headers": {"jobkit-sequence": True}}, "jobkit-sequence"),
        ({"message_id": "a", "headers": {"jobkit-schema": -1}}, "jobkit-schema"),
        ({"message_id": "a", "headers": {"jobkit-id": 5}}, "message id"),
        ({"message_id": "a", "headers": {"jobkit-notices": 5}}, "jobkit-notices must be text"),
        ({"message_id": "a", "headers": {"jobkit-notices": "[{}]"}}, "jobkit-notices"),
        ({"message_id": "a", "headers": {"jobkit-notices": _NOTICE % '"never"'}}, "jobkit-notices"),
        ({"message_id": "a", "headers": {"jobkit-notices": _NOTICE % ""}}, "jobkit-notices"),
    ],
)
def test_what_cannot_be_a_job_is_delivered_with_its_body_and_the_problem(
    properties: dict[str, Any], problem: str
) -> None:
    delivery = foreign(b"body", **properties)
    assert (delivery.envelope, delivery.raw) == (None, b"body")
    assert problem in delivery.problem


def test_headers_that_say_nothing_to_jobkit_do_no_harm() -> None:
    headers = {"x": 1, "traceparent": 5, "jobkit-trace": "no table", "jobkit-submitted-at": "soon"}
    assert foreign(message_id="a", headers=headers).envelope == Envelope(id="a", type="t", body=b"{}")


def test_a_newer_schema_is_left_to_who_decodes_it() -> None:
    envelope = foreign(message_id="a", headers={"jobkit-schema": 99}).envelope
    assert envelope is not None
    assert envelope.schema == 99


@pytest.mark.parametrize(
    ("envelope", "what"),
    [
        (Envelope(id="a", type="t", body=bytes(MAX_BODY_BYTES + 1)), "payload"),
        (Envelope(id="a", type="t", body=b"", trace={"baggage": "x" * 70_000}), "header"),
    ],
)
def test_what_is_larger_than_a_server_takes_is_objected_to(envelope: Envelope, what: str) -> None:
    objection = too_large_for(envelope, MAX_BODY_BYTES)
    assert objection is not None
    assert objection.startswith(f"its {what} has ")


def test_a_delayed_message_is_the_same_job_and_counts_as_redelivered() -> None:
    envelope = Envelope(id="a", type="t", body=b"{}", key="k", sequence=4, submitted_at=1.5, trace={"b3": "x"})
    first = to_message(envelope, "q")
    again = delayed(first.body, over_the_wire(first.properties), "delay", 3.0)
    assert again.queue == "delay"
    assert delay_left(over_the_wire(again.properties)) == 3.0
    assert arrived(again) == Delivery(7, b"{}", envelope, "", redelivered=True)


def test_a_delayed_message_forgets_what_the_broker_noted_or_it_would_see_a_loop() -> None:
    noted: dict[str, Any] = {"x-death": [{"queue": "q"}], "x-first-death-queue": "q", "x-delivery-count": 3}
    again = delayed(b"", Properties(message_id="a", headers={**noted, "mine": "kept"}), "delay", -1.0)
    assert again.properties.headers == {"mine": "kept", DELAYED: True, DELAY_LEFT: "0.0"}
