"""Decoding: a message is a job or it is not, and then the reason is said."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobkit.model.envelope import Envelope
from jobkit.plugin.registry import Registry
from jobkit.runner.decode import Job, Malformed, NotJob, Unknown, decode
from tests.steps import Step, step

GOOD = Envelope("x", "step", b'{"on":"a"}')
REGISTRY = Registry([step], broken={"broken": "plugin 'broken' does not load"})


def _decode(envelope: Envelope | None, problem: str = "") -> Job | NotJob:
    return decode(b"raw", envelope, problem, REGISTRY, max_bytes=100)


def _reason(envelope: Envelope | None, problem: str = "") -> tuple[str, str]:
    found = _decode(envelope, problem)
    assert isinstance(found, Malformed)
    assert (found.raw, found.envelope) == (b"raw", envelope)
    return found.reason, found.detail


def test_a_good_message_is_a_job_under_the_key_of_its_payload() -> None:
    job = _decode(GOOD)
    assert isinstance(job, Job)
    assert (job.key, job.resource, job.sequence, job.payload) == ("a", "step/a", None, Step(on="a"))
    assert job.envelope == GOOD.with_key("a")


def test_a_key_that_was_sent_along_is_kept() -> None:
    envelope = dataclasses.replace(GOOD, key="mine", sequence=3)
    job = _decode(envelope)
    assert isinstance(job, Job)
    assert (job.key, job.sequence) == ("mine", 3)
    assert job.envelope is envelope


def test_what_is_no_job_has_a_reason_and_a_detail() -> None:
    assert _reason(None, "not an envelope: oops") == ("malformed message", "not an envelope: oops")
    assert _reason(dataclasses.replace(GOOD, body=b"x" * 101)) == (
        "oversized payload",
        "the payload has 101 bytes, JOBKIT_MAX_PAYLOAD_BYTES allows 100",
    )
    assert _reason(dataclasses.replace(GOOD, type="stpe"))[0] == "unknown type"
    assert _reason(dataclasses.replace(GOOD, key="a\0b"))[0] == "invalid payload"
    assert _reason(dataclasses.replace(GOOD, body=b'{"on":""}'))[1].startswith("a key must be")


@pytest.mark.parametrize(
    ("changed", "kind", "detail"),
    [
        ({"schema": 2}, "schema", "schema 2 is newer than 1: upgrade jobkit here"),
        ({"extra": {"tenant": "a"}}, "field", "unknown fields of the envelope: tenant"),
        ({"version": 2}, "payload", "is of version 2, and the code that is loaded knows versions up to 1"),
        ({"body": b'{"on":"a","colour":"red"}'}, "payload", "colour: Extra inputs are not permitted"),
    ],
)
def test_what_a_later_version_may_know_is_unknown(changed: dict[str, Any], kind: str, detail: str) -> None:
    found = _decode(dataclasses.replace(GOOD, **changed))
    assert isinstance(found, Unknown)
    assert (found.kind, found.malformed.reason) == (kind, f"unknown {kind}")
    assert detail in found.detail


def test_a_payload_that_is_wrong_besides_is_no_later_one() -> None:
    assert _reason(dataclasses.replace(GOOD, body=b'{"number":"one","colour":"red"}'))[0] == "invalid payload"


def test_a_plugin_that_does_not_load_is_no_reason_to_stop_consuming() -> None:
    """A message in the wrong queue may be of a type whose plugin is broken here."""
    assert _reason(dataclasses.replace(GOOD, type="broken")) == ("unknown type", "plugin 'broken' does not load")


@given(st.binary(max_size=100))
def test_no_payload_makes_decoding_raise(body: bytes) -> None:
    assert isinstance(_decode(dataclasses.replace(GOOD, body=body)), Job | NotJob)
