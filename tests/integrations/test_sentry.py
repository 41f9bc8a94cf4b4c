"""Sentry, by its own client and a transport that keeps what it is given: one event for a job that died."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from jobkit import Context, DeadEvent, Payload, RetryPolicy, processor
from jobkit.integrations.sentry import report_errors
from jobkit.plugin.around import Around
from jobkit.plugin.job_info import JobInfo
from tests.virtual_site import in_virtual_time, open_site


class Order(Payload):
    """What a customer wants."""

    number: int = 1
    card: str = "4711-secret"


@processor("order", key=lambda job: f"o{job.number}", retry=RetryPolicy(max_attempts=3, initial=timedelta(seconds=1)))
async def order(job: Order, ctx: Context) -> None:
    card = job.card
    logging.getLogger("jobkit").error("attempt failed")
    raise ConnectionError("the bank is closed") if card else ValueError


class Kept(Transport):
    """Keeps events."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        for item in envelope.items:
            if item.type == "event":
                self.events.append(json.loads(item.get_bytes()))


@pytest.fixture
def kept() -> Iterator[Kept]:
    """The transport of a client that is set up as `sentry_sdk.init` does by default."""
    transport = Kept()
    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=transport, default_integrations=True)
    yield transport
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


async def _die(kept: Kept, **said: bool) -> None:
    async with open_site(order) as site:
        site.registry.around = Around.of([report_errors(**said)])
        worker = site.start()
        job = await site.client.submit("order", Order(), id="order-1")
        assert (await site.ended(job.id)).state == "dead"
        await worker.drain()


def test_a_job_that_died_is_one_event_without_its_payload(kept: Kept) -> None:
    in_virtual_time(_die)(kept)
    (event,) = kept.events
    assert event["level"] == "error"
    assert event["tags"] == {"job.id": "order-1", "job.type": "order"}
    about = event["contexts"]["job"]
    assert (about["id"], about["key"], about["attempt"]) == ("order-1", "o1", 3)
    assert about["reason"].startswith("ConnectionError after 3 attempts")
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("ConnectionError", "the bank is closed")
    assert error["stacktrace"]["frames"][-1]["function"] == "order"
    assert "4711" not in json.dumps(event)


def test_retried_failures_are_warnings_where_that_is_wanted(kept: Kept) -> None:
    in_virtual_time(_die)(kept, retried=True)
    seen = [(event["level"], event["contexts"]["job"]["attempt"]) for event in kept.events]
    assert sorted(seen) == [("error", 3), ("warning", 1), ("warning", 2)]


def test_the_payload_is_sent_where_that_is_allowed(kept: Kept) -> None:
    in_virtual_time(_die)(kept, payload=True)
    assert kept.events[0]["contexts"]["job"]["payload"] == {"number": 1, "card": "4711-secret"}


async def test_a_death_without_an_error_is_a_message(kept: Kept) -> None:
    info = JobInfo("j", "order", "o1", None, 20, 0.0)
    await report_errors().function(DeadEvent(info, Order(), "poison: 20 of its starts ended with their workers", None))
    (event,) = kept.events
    assert event["message"].startswith("job died: poison")


async def test_without_a_client_nothing_is_sent_and_nothing_raised() -> None:
    info = JobInfo("j", "order", "o1", None, 1, 0.0)
    await report_errors().function(DeadEvent(info, Order(), "reason", ValueError("x")))
