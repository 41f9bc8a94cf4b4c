"""Hints between processes: they arrive, they are few, and nothing depends on them."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from jobkit.backends.postgres import notifier
from jobkit.backends.postgres.address import parse_address
from jobkit.backends.postgres.notifier import Notifier
from jobkit.lab.servers.proxy import Proxy
from jobkit.model.clock import SystemClock
from jobkit.testing.conformance.manual_clock import ManualClock
from jobkit.testing.conformance.values import committed, submitted
from tests.backends.postgres.conftest import opened
from tests.lab.servers.postgres import TestServer

PATIENCE_SECONDS = 15.0


async def hears(listener: Notifier, topic: str, ringer: Notifier) -> None:
    """Return once a ring of `ringer` was heard; it rings again until then, since connecting takes its time."""
    with listener.subscribe(topic) as subscription:
        async with asyncio.timeout(PATIENCE_SECONDS):
            ringer.notify([topic])
            while not await subscription.wait(0.2):
                ringer.notify([topic])


@pytest.fixture
async def pair(url: str) -> object:
    address = parse_address(url)
    made = [Notifier(address, SystemClock()) for _ in range(2)]
    yield made
    for each in made:
        await each.aclose()


async def test_a_ring_is_heard_in_another_process(pair: list[Notifier]) -> None:
    await hears(pair[0], "a", pair[1])


async def test_a_ring_of_another_topic_is_not_heard(pair: list[Notifier]) -> None:
    await hears(pair[0], "ready", pair[1])
    with pair[0].subscribe("a") as subscription:
        pair[1].notify(["b"])
        await hears(pair[0], "after b", pair[1])
        assert not await subscription.wait(0)


async def test_too_many_topics_for_a_message_wake_everybody_to_look(pair: list[Notifier]) -> None:
    await hears(pair[0], "ready", pair[1])
    with pair[0].subscribe("a") as subscription:
        pair[1].notify(f"topic {n}" for n in range(2_000))
        async with asyncio.timeout(PATIENCE_SECONDS):
            # As long as a poll is due only after an hour, it is the ring that ends this.
            assert not await subscription.wait(3600)


async def test_rings_are_gathered_so_that_notifying_stays_rare(
    server: TestServer, url: str, pair: list[Notifier]
) -> None:
    heard = []
    connection = await asyncpg.connect(url)
    try:
        await connection.add_listener("jobkit", lambda *told: heard.append(told))
        await hears(pair[0], "ready", pair[1])
        before = len(heard)
        for n in range(500):
            pair[1].notify([f"{n}"])
            if n % 10 == 0:
                await asyncio.sleep(0)
        await hears(pair[0], "done", pair[1])
    finally:
        await connection.close()
    assert len(heard) - before < 50


async def test_notifications_come_back_after_their_connection_was_cut(
    server: TestServer, database: str, url: str, proxy: Proxy
) -> None:
    near = Notifier(parse_address(server.url(database, port=proxy.port)), SystemClock())
    far = Notifier(parse_address(url), SystemClock())
    try:
        await hears(near, "a", far)
        proxy.cut()
        await hears(near, "b", far)
    finally:
        await near.aclose()
        await far.aclose()


async def test_a_waiter_whose_notifications_are_silent_looks_again_by_itself(
    server: TestServer, database: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "POLL_SECONDS", 0.05)
    async with opened(server.url(database, port=proxy.port)) as waiter, opened(server.url(database)) as worker:
        job = await submitted(worker, "a")
        monkeypatch.setattr(Notifier, "_on_message", lambda *_: None)
        waiting = asyncio.create_task(waiter.wait_finished(["a"], 3600))
        await committed(worker, job)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await waiting


async def test_a_poll_is_due_after_about_a_second_of_the_injected_clock(url: str) -> None:
    clock = ManualClock()
    made = Notifier(parse_address(url), clock)
    try:
        with made.subscribe("a") as subscription:
            waiting = asyncio.create_task(subscription.wait(3600))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not waiting.done()
            clock.advance(notifier.POLL_SECONDS * 1.25)
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert not await waiting
    finally:
        await made.aclose()
