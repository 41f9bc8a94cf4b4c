"""The coordinator in trouble: it may forget, fall silent or be gone, and work goes on or waits, loudly."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial

import pytest
from structlog.testing import capture_logs

from jobkit.backends.redis import notifier
from jobkit.errors import Unavailable
from jobkit.lab.servers.proxy import Proxy
from jobkit.lab.servers.redis import DURABLE, RedisServer, start_server
from jobkit.model.fence import Fence
from jobkit.ports.coordinator import Coordinator, Granted, Held, LeaseRef, Member
from jobkit.ports.store import Committed, Duplicate, Effects, LogEntry, Opened, Stale
from jobkit.testing.conformance.values import envelope
from tests.backends.redis.opened import coordinator, eventually, store

TTL = 20.0


async def granted(on: Coordinator, resource: str, nonce: str, *, ttl: float = TTL, floor: int = 0) -> LeaseRef:
    answer = await on.claim(resource, owner="me", nonce=nonce, ttl=ttl, floor=floor)
    assert isinstance(answer, Granted), answer
    return LeaseRef(resource, answer.token, nonce)


class Marks:
    """What a store remembers of a key: the highest token it has seen. Grants above it are accepted, and only those."""

    def __init__(self) -> None:
        self.accepted: list[int] = []

    @property
    def mark(self) -> int:
        return self.accepted[-1] if self.accepted else 0

    def open(self, token: int) -> bool:
        if token <= self.mark:
            return False
        self.accepted.append(token)
        return True


async def claim_above_mark(on: Coordinator, marks: Marks, resource: str, nonce: str) -> LeaseRef | None:
    """Claim as a worker does: again with the mark as the floor, where the store has seen a higher token."""
    floor = 0
    while True:
        answer = await on.claim(resource, owner="me", nonce=f"{nonce}/{floor}", ttl=TTL, floor=floor)
        if isinstance(answer, Held):
            return None
        lease = LeaseRef(resource, answer.token, f"{nonce}/{floor}")
        if marks.open(answer.token):
            return lease
        await on.release(lease)
        assert answer.token > floor
        floor = marks.mark


async def test_a_lease_ends_by_the_servers_clock(server: RedisServer) -> None:
    async with coordinator(server.url()) as on:
        lease = await granted(on, "t/k", "n1", ttl=0.3)
        assert isinstance(await on.claim("t/k", owner="you", nonce="n2", ttl=1.0), Held)
        started = time.monotonic()
        await on.wait_change("t/k", 120.0)
        assert time.monotonic() - started < 60.0
        assert (await granted(on, "t/k", "n2")).token > lease.token
        assert await on.renew([lease], ttl=1.0) == frozenset()


async def test_a_thousand_leases_are_renewed_in_one_round_trip(server: RedisServer) -> None:
    async with coordinator(server.url()) as on:
        leases = await asyncio.gather(*(granted(on, f"t/{number}", f"n{number}") for number in range(1000)))
        gone = leases[::100]
        await asyncio.gather(*(on.release(lease) for lease in gone))
        before = on.round_trips
        assert await on.renew(leases, ttl=TTL) == frozenset(leases) - frozenset(gone)
        assert on.round_trips == before + 1


async def test_jobs_that_get_no_answer_keep_no_lease_from_being_renewed(server: RedisServer, proxy: Proxy) -> None:
    async with coordinator(server.url(port=proxy.port)) as on:
        lease = await granted(on, "t/k", "n")
        await on.renew([lease], ttl=TTL)
        for connection in proxy.connections:
            connection.hold()
        stuck = [asyncio.create_task(on.claim(f"t/{n}", owner="me", nonce="n", ttl=TTL)) for n in range(200)]
        # The last connection made is the one of renewals.
        proxy.connections[-1].heal()
        async with asyncio.timeout(2.0):
            assert await on.renew([lease], ttl=TTL) == {lease}
            assert await on.heartbeat(Member("me", ()), ttl=TTL) == [Member("me", ())]
        assert not any(task.done() for task in stuck)
        proxy.heal()
        assert all(isinstance(answer, Granted) for answer in await asyncio.gather(*stuck))


@pytest.mark.parametrize("loss", ["FLUSHALL", "restart without data"])
async def test_tokens_rise_above_the_stores_mark_after_all_data_was_lost(server: RedisServer, loss: str) -> None:
    marks = Marks()
    async with coordinator(server.url()) as on:
        for number in range(20):
            lease = await claim_above_mark(on, marks, "t/k", f"a{number}")
            assert lease
            await on.release(lease)
        if loss == "FLUSHALL":
            server.call("FLUSHALL")
        else:
            server.process.kill()
            server.process.start()
        lease = None
        while lease is None:
            with suppress(Unavailable):
                lease = await claim_above_mark(on, marks, "t/k", "b")
        assert marks.accepted == sorted(set(marks.accepted))
        assert len(marks.accepted) == 21


async def test_marks_in_a_store_keep_rising_and_each_job_commits_once_while_the_leases_are_lost_again_and_again(
    server: RedisServer,
) -> None:
    """Both planes are on one server, in two databases; only the one of the leases is lost."""
    async with store(server.url(database=1)) as truth, coordinator(server.url()) as on:
        marks: dict[str, list[int]] = {}

        async def work(key: str, worker: int) -> None:
            for number in range(8):
                job, turn, floor, ended = envelope(f"{key}/{number}", key=key), 0, 0, False
                while not ended:
                    turn += 1
                    nonce = f"{worker}.{number}.{turn}"
                    answer = await on.claim(f"t/{key}", owner="me", nonce=nonce, ttl=TTL, floor=floor)
                    if isinstance(answer, Held):
                        await on.wait_change(f"t/{key}", 1.0)
                        continue
                    assert answer.token > floor
                    under = Fence(answer.token, nonce, "me")
                    told = await truth.open(job, under)
                    if isinstance(told, Opened):
                        marks.setdefault(key, []).append(answer.token)
                        entries = [LogEntry("done", b"1")]
                        ended = isinstance(await truth.commit(job, under, Effects(entries=entries)), Committed)
                    elif isinstance(told, Stale):
                        floor = told.mark
                    else:
                        ended = isinstance(told, Duplicate)
                    await on.release(LeaseRef(f"t/{key}", answer.token, nonce))

        async def lose() -> None:
            while True:
                await asyncio.to_thread(server.call, "FLUSHDB")
                await asyncio.sleep(0.003)

        losing = asyncio.create_task(lose())
        keys = [f"k{number}" for number in range(8)]
        await asyncio.gather(*(work(key, worker) for key in keys for worker in range(3)))
        losing.cancel()
        for key in keys:
            assert marks[key] == sorted(set(marks[key]))
            log = [entry.job_id for entry in await truth.log("t", key)]
            assert sorted(log) == [f"{key}/{number}" for number in range(8)]


async def test_tokens_of_every_key_rise_while_all_data_is_lost_again_and_again(server: RedisServer) -> None:
    keys = [f"t/{number}" for number in range(10)]
    marks = {key: Marks() for key in keys}
    async with coordinator(server.url()) as on:

        async def work(key: str, worker: int) -> None:
            for number in range(40):
                lease = await claim_above_mark(on, marks[key], key, f"{worker}.{number}")
                if lease is not None:
                    # After a loss, somebody else may hold it under an equal token: only the nonce is ours.
                    await on.release(lease)

        async def lose() -> None:
            while True:
                await asyncio.to_thread(server.call, "FLUSHALL")
                await asyncio.sleep(0.005)

        losing = asyncio.create_task(lose())
        await asyncio.gather(*(work(key, worker) for key in keys for worker in range(3)))
        losing.cancel()
    for key in keys:
        assert marks[key].accepted == sorted(set(marks[key].accepted))
        assert len(marks[key].accepted) > 10


async def test_leases_and_tokens_survive_a_crash_where_the_server_keeps_its_data() -> None:
    server = start_server(DURABLE)
    try:
        async with coordinator(server.url()) as on:
            lease = await granted(on, "t/k", "n1", floor=500)
            server.process.kill()
            server.process.start()
            # The connection of before may only now be found to have ended.
            for ask in (on.members, lambda: on.heartbeat(Member("me", ()), ttl=TTL)):
                with suppress(Unavailable):
                    await ask()
            assert await on.renew([lease], ttl=TTL) == {lease}
            assert (await granted(on, "t/other", "n2")).token > lease.token
    finally:
        server.process.kill()


async def test_a_claim_whose_answer_was_lost_is_granted_again_under_the_same_token(
    server: RedisServer, proxy: Proxy
) -> None:
    async with coordinator(server.url(port=proxy.port)) as on:
        await on.members()
        proxy.hold("down")
        claim = asyncio.create_task(on.claim("t/k", owner="me", nonce="n", ttl=TTL))
        await eventually(lambda: server.call("EXISTS", "{jobkit}:lease:t/k"))
        proxy.cut()
        with pytest.raises(Unavailable):
            await claim
        proxy.heal()
        (info,) = await on.leases()
        assert (await granted(on, "t/k", "n")).token == info.token


async def test_wake_ups_that_fall_silent_are_told_of_and_waits_still_end(
    server: RedisServer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "_SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(notifier, "REPLY_SECONDS", 0.3)
    async with coordinator(server.url(port=proxy.port)) as waiter, coordinator(server.url()) as holder:
        lease = await granted(holder, "t/k", "n")
        await eventually(lambda: server.call("PUBSUB", "NUMSUB", "{jobkit}:hints")[1])
        await waiter.members()
        with capture_logs() as logs:
            # The subscription is the first connection that was made.
            proxy.connections[0].hold()
            waiting = asyncio.create_task(waiter.wait_change("t/k", TTL))
            await waiter.members()
            await holder.release(lease)
            async with asyncio.timeout(5.0):
                await waiting
            # And somebody hears of the silence, and is heard again himself.
            await eventually(lambda: proxy.accepted >= 3)
        assert any(line["log_level"] == "warning" and "notifications interrupted" in line["event"] for line in logs)


async def test_a_silence_in_which_nothing_happened_is_no_alarm(
    server: RedisServer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "_SILENCE_SECONDS", 0.05)
    async with coordinator(server.url(port=proxy.port)):
        with capture_logs() as logs:
            await eventually(lambda: server.call("INFO", "commandstats").get("cmdstat_ping", {}).get("calls", 0) >= 5)
        assert logs == []
        assert proxy.accepted == 1


async def test_a_release_wakes_who_waits_without_polling(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobkit.backends.redis.notifier.POLL_SECONDS", 60.0)
    async with coordinator(server.url()) as waiter, coordinator(server.url()) as holder:
        await eventually(lambda: server.call("PUBSUB", "NUMSUB", "{jobkit}:hints")[1] == 2)
        for resource, topic in (("t/k", "t/k"), ("leader/t/1", "leader/"), ("leader/t/1", "leader/t/")):
            lease = await granted(holder, resource, "n")
            waits = [asyncio.create_task(waiter.wait_change(topic, 60.0)) for _ in range(3)]
            await eventually(partial(server.call, "EXISTS", f"{{jobkit}}:wanted:lease/{topic}"))
            await waiter.members()
            async with asyncio.timeout(5.0):
                await holder.release(lease)
                await asyncio.gather(*waits)


async def test_releases_that_nobody_waits_for_wake_nobody(server: RedisServer) -> None:
    async with coordinator(server.url()) as on:
        await on.release(await granted(on, "t/k", "n"))
        await asyncio.gather(*[_once(on, number) for number in range(50)])
        assert server.call("INFO", "commandstats").get("cmdstat_publish") is None


async def _once(on: Coordinator, number: int) -> None:
    await on.release(await granted(on, f"t/{number}", "n"))


async def test_a_resource_may_lie_below_any_number_of_prefixes(server: RedisServer) -> None:
    async with coordinator(server.url()) as on:
        deep = "t/" + "/" * 20_000
        lease = await granted(on, deep, "n")
        waiting = asyncio.create_task(on.wait_change("t/", TTL))
        await eventually(lambda: server.call("EXISTS", "{jobkit}:wanted:lease/t/"))
        assert await on.release(lease)
        async with asyncio.timeout(5.0):
            await waiting


async def test_the_index_forgets_resources_whose_holders_died(server: RedisServer) -> None:
    async with coordinator(server.url()) as on:
        await asyncio.gather(*(granted(on, f"t/{number}", "n", ttl=0.05) for number in range(120)))
        live = await granted(on, "live", "n")
        assert server.call("ZCARD", "{jobkit}:leases") == 121
        deadline = time.monotonic() + 20
        while server.call("ZCARD", "{jobkit}:leases") > 1 and time.monotonic() < deadline:
            await on.heartbeat(Member("me", ()), ttl=TTL)
        assert [lease.resource for lease in await on.leases()] == ["live"]
        assert await on.release(live)


async def test_hundreds_of_cancelled_claims_and_releases_leave_nobody_with_a_wrong_token(
    server: RedisServer, proxy: Proxy
) -> None:
    proxy.delay(0.001)
    async with coordinator(server.url(port=proxy.port)) as on:

        async def worker(number: int) -> None:
            resource = f"t/{number}"
            for count in range(4):
                nonce = f"{number}.{count}"
                claim = asyncio.create_task(on.claim(resource, owner=resource, nonce=nonce, ttl=TTL))
                if (number + count) % 3:
                    await asyncio.sleep((number * 7 + count) % 11 / 1000)
                    claim.cancel()
                with suppress(asyncio.CancelledError):
                    await claim
                answer = await on.claim(resource, owner=resource, nonce=nonce, ttl=TTL)
                assert isinstance(answer, Granted)
                (info,) = await on.leases(resource + "\0") or await on.leases(resource)
                assert (info.resource, info.owner, info.token) == (resource, resource, answer.token)
                assert await on.release(LeaseRef(resource, answer.token, nonce))

        # Of one length, so that none is the beginning of another.
        await asyncio.gather(*(worker(number) for number in range(100, 300)))
        assert await on.leases() == []
