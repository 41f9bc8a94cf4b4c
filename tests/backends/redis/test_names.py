"""What users choose as a name never meets another: of another plane, type, key or job, nor one of our own rows."""

from __future__ import annotations

import asyncio

import pytest

from jobkit.lab.servers.redis import RedisServer
from jobkit.model.envelope import Envelope
from jobkit.model.names import TYPE_CHARACTERS
from jobkit.model.partition import Partition
from jobkit.ports.coordinator import Granted, LeaseRef, Member
from jobkit.ports.rules import keepable
from jobkit.ports.store import Effects, LogEntry, NewJob
from jobkit.testing.conformance.values import NOTHING, committed, envelope, failure, fence, opened, submitted
from tests.backends.redis.opened import coordinator, eventually, store

P = "{jobkit}:"
OWN = ("store", "check", "keys", "jobs", "ended", "outbox", "shelved", "dead", "gaps", "leases", "tokens", "members")
ODD = (
    *OWN,
    *(P + name for name in OWN),
    *("job:a", f"{P}job:a", "key:a", "lease:a", "wanted:outbox", "lease/outbox", "{other}", "{", "}", ":", "/", "a/"),
    *("é", "e\u0301", "\U0001f600", " ", "a b", "a\nb", "a\r\nb", "\x01", "\x7f", "\u2028", "0", "00", "-1", "*", "%s"),
    *("x" * TYPE_CHARACTERS, "'", '"', "\\", "\\ud800", "[", "(", "+", "$", "$-1\r\n"),
)


def told(name: str) -> bytes:
    """Return what everything that goes by a name holds, so that nothing of it is mistaken for another's."""
    return b"%d" % ODD.index(name)


async def test_odd_names_in_both_planes_of_one_database_each_keep_what_is_their_own(server: RedisServer) -> None:
    held = {}
    async with store(server.url()) as on, coordinator(server.url()) as leases:
        for name in ODD:
            job = await submitted(on, name, key=name, type=name, body=told(name))
            granted = await leases.claim(name, owner=name, nonce=name, ttl=30.0)
            assert isinstance(granted, Granted), (name, granted)
            held[name] = LeaseRef(name, granted.token, name)
            await leases.heartbeat(Member(name, (name,)), ttl=30.0)
            under = await opened(on, job, fence(nonce=name, owner=name))
            await on.shelve(job, Partition(name, 1))
            await on.fail(job, under, failure(1, name))
            await on.open(job, under)
            await on.progress(job, under, fraction=0.5, message=name)
            entries = [LogEntry(name, told(name))]
            await on.commit(job, under, Effects(told(name), records={name: told(name)}, entries=entries))
            following = await submitted(on, f"{name} 2", key=name, type=name)
            await on.park(Envelope(f"{name} 4", name, told(name), name, sequence=4), reason=name)
            await on.bury(following, await opened(on, following), reason=name, detail=name)
            other = Envelope(name, name, b"other", name, sequence=1)
            await on.bury_message(other.body, other, reason=name)
        for name in ODD:
            record, row = await on.job(name), await on.key(name, name)
            assert record
            assert row
            assert (record.type, record.key, record.result, record.message) == (name, name, told(name), name)
            assert [(one.error, one.attempt) for one in record.failures] == [(name, 1)]
            assert (row.type, row.key, row.log_length, row.committed_sequence) == (name, name, 1, 1)
            assert await on.record(name, name, name) == told(name)
            assert [(entry.kind, entry.data) for entry in await on.log(name, name)] == [(name, told(name))]
            letters = await on.dead(type=name)
            assert [(one.reason, one.key, one.sequence) for one in letters] == [(name, name, 2), (name, name, 1)]
        assert {(gap.type, gap.key, gap.expected, gap.first) for gap in await on.gaps()} == {(n, n, 2, 4) for n in ODD}
        assert {(row.type, row.key) for row in await on.keys()} == {(name, name) for name in ODD}
        counts = await on.counts()
        assert (counts.parked, counts.dead, counts.shelved, counts.keys) == (len(ODD), 2 * len(ODD), 0, len(ODD))
        assert await leases.renew(list(held.values()), ttl=30.0) == set(held.values())
        assert {lease.resource: lease.owner for lease in await leases.leases()} == {name: name for name in ODD}
        assert {member.owner: member.types for member in await leases.members()} == {name: (name,) for name in ODD}
        assert [await leases.release(lease) for lease in held.values()] == [True] * len(ODD)


async def test_types_and_keys_that_read_alike_together_are_kept_apart(server: RedisServer) -> None:
    pairs = [("a", "b:c"), ("a:b", "c"), ("a/b", "c"), ("a", "b/c"), ("a", ""), ("", "a"), ("ab", "c"), ("a", "bc")]
    async with store(server.url()) as on:
        for number, (type, key) in enumerate(pairs):
            job = Envelope(f"{number}", type, b"{}", key)
            await committed(on, job, Effects(records={"x": b"%d" % number}), fence(10 + number))
        for number, (type, key) in enumerate(pairs):
            assert await on.record(type, key, "x") == b"%d" % number
            row = await on.key(type, key)
            assert row
            assert row.token == 10 + number


@pytest.mark.parametrize(("type", "key"), [("a\0b", "c"), ("a", "b\0c"), ("a", "\0")])
async def test_a_name_with_a_nul_is_refused_before_anything_is_written(
    server: RedisServer, type: str, key: str
) -> None:
    job = Envelope("a", type, b"{}", key, sequence=1)
    async with store(server.url()) as on:
        own = await submitted(on, "own")
        under = await opened(on, own)
        before = server.call("DBSIZE")
        for ask in (
            lambda: on.submit([NewJob(job, ordered=True)]),
            lambda: on.open(job, fence()),
            lambda: on.park(job, reason="gap"),
            lambda: on.skip_gap(type, key, before=3),
            lambda: on.commit(own, under, Effects(follow_ups=[NewJob(job, ordered=False)])),
        ):
            with pytest.raises(ValueError, match="NUL"):
                await ask()
        assert server.call("DBSIZE") == before
        # But its message can be buried, or nobody would ever be rid of it.
        await on.bury_message(b"raw", job, reason="invalid")
        assert [(letter.type, letter.id) for letter in await on.dead()] == [(keepable(type), "a")]
        await on.commit(own, under, NOTHING)


async def test_names_with_half_a_character_are_refused_and_texts_with_one_are_spelled_out(server: RedisServer) -> None:
    half = "caf\udce9"
    async with store(server.url()) as on, coordinator(server.url()) as leases:
        job = await submitted(on, "a")
        under = await opened(on, job)
        for ask in (
            lambda: on.open(envelope(half), fence()),
            lambda: on.open(envelope("b", key=half), fence()),
            lambda: on.commit(job, under, Effects(records={half: b"1"})),
            lambda: leases.claim(half, owner="me", nonce="n", ttl=1.0),
        ):
            with pytest.raises(ValueError, match="surrogates not allowed"):
                await ask()
        await on.progress(job, under, fraction=0.5, message=half)
        record = await on.job("a")
        assert record
        assert record.message == r"caf\udce9"
        await on.bury_message(b"raw", None, reason=half, detail=half)
        await on.bury(job, under, reason=half, detail=half)
        assert [(letter.reason, letter.detail) for letter in await on.dead()] == [(r"caf\udce9", r"caf\udce9")] * 2


async def test_every_row_belongs_to_one_plane(server: RedisServer) -> None:
    def rows() -> set[str]:
        # Up to the first colon of its name are the words of ours; what follows it was chosen by users.
        return {row.decode().removeprefix(P).partition(":")[0] for row in server.call("KEYS", "*")} - {"wanted"}

    async with coordinator(server.url()) as leases:
        await leases.heartbeat(Member("me", ("t",)), ttl=30.0)
        await leases.claim("t/k", owner="me", nonce="n", ttl=30.0)
    of_coordinator = rows()
    assert of_coordinator == {"lease", "leases", "tokens", "members", "told"}
    server.call("FLUSHALL")
    async with store(server.url()) as on:
        jobs = [await submitted(on, id) for id in "abcdef"]
        await on.shelve(jobs[5], Partition("t", 0))
        await committed(on, jobs[0], Effects(records={"x": b"1"}, entries=[LogEntry("x", b"1")]))
        await on.bury(jobs[1], await opened(on, jobs[1]), reason="no")
        await on.bury_message(b"raw", None, reason="no")
        await on.park(jobs[3], reason="gap")
        await on.skip_gap("t", "k", before=4)
        await on.open(await submitted(on, "loose", key="l"), fence())
        await on.park(Envelope("far", "t", b"{}", "k", sequence=90), reason="gap")
    assert len(rows()) > 15
    assert not of_coordinator & rows()


async def test_what_is_waited_for_in_one_plane_is_not_what_another_calls_the_same(server: RedisServer) -> None:
    async with store(server.url()) as on, coordinator(server.url()) as leases:
        for resource in ("job/a", "outbox"):
            await leases.claim(resource, owner="me", nonce="n", ttl=30.0)
        waits = [
            asyncio.create_task(wait)
            for wait in (
                leases.wait_change("job/a", 30),
                leases.wait_change("outbox", 30),
                on.wait_finished(["a"], 30),
            )
        ]
        await eventually(lambda: len(server.call("KEYS", f"{P}wanted:*")) == len(waits))
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
