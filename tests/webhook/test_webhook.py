"""One event, posted to a real server: how it is signed, what its answers mean, and where it does not go."""

from __future__ import annotations

import ipaddress
import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import standardwebhooks
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from jobkit import Reject, Retry
from jobkit.errors import ConfigurationError, PayloadInvalid
from jobkit.plugin.registry import Registry
from jobkit.testing import JobOutcome, run_job
from tests.webhook.receiver import Receiver, open_receiver, saying
from workers.webhook import Delivered, Webhook, responses, webhook
from workers.webhook import posting as module
from workers.webhook.resolver import CheckedResolver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + "QUJD" * 8


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with open_receiver() as opened:
        yield opened


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_WEBHOOK_SECRETS", json.dumps({"default": SECRET, "both": f"{OTHER} {SECRET}"}))
    monkeypatch.setenv("JOBKIT_WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8")
    monkeypatch.setenv("JOBKIT_WEBHOOK_ALLOW_HTTP", "true")


async def post(url: str, **changes: Any) -> JobOutcome[Delivered]:
    given = {"url": url, "event": "video.ready", "data": {"video": "ü", "n": 1.5}, "subject": "s", **changes}
    return await run_job(webhook, Webhook.model_validate(given))


@pytest.mark.parametrize("secret", ["default", "both"])
async def test_an_event_is_signed_as_the_specification_says(receiver: Receiver, secret: str) -> None:
    outcome = await post(receiver.url("/hook?to=me"), secret=secret)
    assert outcome.result.status == 204
    (received,) = receiver.received
    event = standardwebhooks.Webhook(SECRET).verify(received.body, dict(received.headers))
    assert event == {"type": "video.ready", "timestamp": event["timestamp"], "data": {"video": "ü", "n": 1.5}}
    assert datetime.fromisoformat(event["timestamp"]).tzinfo is not None
    assert received.headers["webhook-id"] == outcome.record.id
    assert received.headers["content-type"] == "application/json"
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook("whsec_" + "AAAA" * 8).verify(received.body, dict(received.headers))
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(SECRET).verify(received.body + b" ", dict(received.headers))


@pytest.mark.parametrize("status", [301, 308, 400, 405, 410, 413, 415, 422, 501])
async def test_an_answer_that_would_be_the_same_again_is_for_good(receiver: Receiver, status: int) -> None:
    receiver.answers = [saying(status, "no\nthanks", Location=receiver.url("/elsewhere"))]
    with pytest.raises(Reject, match=rf"answered {status}: no thanks"):
        await post(receiver.url())
    assert [received.path for received in receiver.received] == ["/hook"], "a redirect was followed"


@pytest.mark.parametrize("status", [302, 303, 304, 307, 401, 403, 404, 408, 409, 425, 429, 500, 502, 503, 504])
async def test_an_answer_that_may_pass_is_tried_again(receiver: Receiver, status: int) -> None:
    receiver.answers = [saying(status, Location=receiver.url("/elsewhere"))]
    with pytest.raises(Retry, match=f"the receiver answered {status}") as raised:
        await post(receiver.url())
    assert raised.value.after is None
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    ("said", "after"),
    [
        ("120", timedelta(minutes=2)),
        ("Fri, 27 Nov 2026 13:00:00 GMT", timedelta(hours=1)),
        ("Fri, 27 Nov 2026 11:00:00 GMT", timedelta(0)),
        ("99999999999999999999", responses.LONGEST_RETRY_AFTER),
        ("soon", None),
    ],
)
def test_retry_after_is_honoured_within_a_day(said: str, after: timedelta | None) -> None:
    noon = datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp()
    with pytest.raises(Retry) as raised:
        responses.check(503, {"Retry-After": said}, "", noon)
    assert raised.value.after == after


async def test_retry_after_is_read_of_an_answer(receiver: Receiver) -> None:
    receiver.answers = [saying(429, Retry_After="7")]
    with pytest.raises(Retry) as raised:
        await post(receiver.url())
    assert raised.value.after == timedelta(seconds=7)


async def test_a_receiver_that_is_away_or_says_nothing_is_tried_again(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silence(request: web.Request) -> web.StreamResponse:
        await receiver.closing.wait()
        return web.Response(status=204)

    receiver.answers = [silence]
    monkeypatch.setenv("JOBKIT_WEBHOOK_TIMEOUT", "0.2")
    with pytest.raises(Retry, match=r"no answer within 0\.2 s"):
        await post(receiver.url())
    with pytest.raises(Retry, match="could not be reached"):
        await post("http://127.0.0.1:1/")


async def test_an_endless_answer_is_not_read_to_its_end(receiver: Receiver) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)
            sent += 65_536

    receiver.answers = [endless]
    with pytest.raises(Retry, match=f"answered 500: {'x' * module.EXCERPT_CHARACTERS}$"):
        await post(receiver.url())
    assert sent < 50_000_000


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "224.0.0.1", "100.64.0.1", "0.0.0.0"),  # noqa: S104
        *("[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
        *("localhost", "127.1", "2130706433", "0x7f000001"),
    ],
)
async def test_addresses_inside_are_not_reached(receiver: Receiver, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("JOBKIT_WEBHOOK_ALLOW_NETWORKS", "")
    with pytest.raises(Reject, match=r"has no public address: allow its network with JOBKIT_WEB|the address is none"):
        await post(receiver.url(host=host))
    assert receiver.received == []


class Rebinding(AbstractResolver):
    """Resolves a name to one address the first time, and to another one from then on."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = list(addresses)
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        self.asked += 1
        address = self._addresses.pop(0) if len(self._addresses) > 1 else self._addresses[0]
        return [
            ResolveResult(hostname=host, host=one, port=port, family=2, proto=0, flags=0) for one in address.split(",")
        ]

    async def close(self) -> None: ...


async def test_the_connection_goes_to_the_address_that_was_judged(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that resolves to an address inside a moment after it was judged leads nowhere else."""
    names = Rebinding("127.0.0.1", "10.0.0.1")
    monkeypatch.setattr(module, "CheckedResolver", lambda networks: CheckedResolver(networks, names))
    await post(receiver.url(host="hooks.example"))
    assert (names.asked, len(receiver.received)) == (1, 1)
    assert receiver.received[0].headers["host"] == f"hooks.example:{receiver.port}"
    with pytest.raises(Reject, match=r"hooks\.example has no public address"):
        await post(receiver.url(host="hooks.example"))
    assert len(receiver.received) == 1


async def test_of_several_addresses_only_those_outside_are_tried(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Rebinding("10.0.0.1,127.0.0.1,169.254.169.254")
    found = await CheckedResolver([ipaddress.ip_network("127.0.0.0/8")], names).resolve("x", 80)
    assert [one["host"] for one in found] == ["127.0.0.1"]


async def test_plain_http_has_to_be_allowed(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_WEBHOOK_ALLOW_HTTP", "false")
    with pytest.raises(Reject, match="the address is not https"):
        await post(receiver.url())
    assert receiver.received == []


async def test_an_unknown_secret_is_waited_for(receiver: Receiver) -> None:
    with pytest.raises(Retry, match="JOBKIT_WEBHOOK_SECRETS has no secret 'new'"):
        await post(receiver.url(), secret="new")
    assert receiver.received == []


@pytest.mark.parametrize(
    "url",
    ["ftp://x.example/", "https://", "https://me:secret@x.example/", "https://x.example/#part", "https://x:99999/"],
)
def test_what_is_no_address_is_refused_at_submit(url: str) -> None:
    given = {"url": url, "event": "e", "data": None, "subject": "s"}
    with pytest.raises(PayloadInvalid, match="url"):
        Registry([webhook]).new_job("webhook", given, submitted_at=1.0)


@pytest.mark.parametrize("secret", ["", "secret", "whsec_!", "whsec_QUJD", "whsec_" + "QUJD" * 40])
def test_a_secret_that_is_none_is_said_at_the_start_and_not_shown(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("JOBKIT_WEBHOOK_SECRETS", json.dumps({"default": secret}))
    with pytest.raises(ConfigurationError, match=r"(?i)secrets") as raised:
        Registry([webhook]).settings(["webhook"])
    assert secret == "" or secret not in str(raised.value)


def test_it_is_tried_for_hours_before_it_is_given_up() -> None:
    delays = [webhook.retry.delay(Retry("x"), attempt, random.Random(1)) for attempt in range(1, 14)]
    assert delays[-1] is None
    assert 18 * 3600 < sum(delay for delay in delays if delay is not None) < 30 * 3600
