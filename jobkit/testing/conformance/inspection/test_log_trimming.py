"""Dropping the first entries of a key's log: the rest stays where it is, and so does everything that counts it."""

from __future__ import annotations

from jobkit.ports.store import Effects, LogEntry
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.values import committed, fence, submitted

FOREVER = 10**9


async def append(store: FullStore, *data: int, key: str = "k") -> None:
    """Commit one job of the key, with these entries."""
    entries = [LogEntry("done", b"%d" % number) for number in data]
    await committed(store, await submitted(store, f"{key} {data[0]}", key=key), Effects(entries=entries))


async def kept(store: FullStore, key: str = "k", after: int = 0, limit: int = 1_000) -> list[tuple[int, bytes]]:
    return [(entry.position, entry.data) for entry in await store.log("t", key, after=after, limit=limit)]


async def test_what_is_left_keeps_its_place_and_the_log_its_length(store: FullStore) -> None:
    for key in ("k", "other"):
        for number in (1, 3, 5):
            await append(store, number, number + 1, key=key)
    assert await store.trim_log("t", "k", upto=4, older_than=0, limit=3) == 3
    assert await store.trim_log("t", "k", upto=4, older_than=0, limit=3) == 1
    assert await store.trim_log("t", "k", upto=4, older_than=0) == 0
    assert await kept(store) == [(5, b"5"), (6, b"6")]
    assert await kept(store, after=2) == await kept(store, after=4) == await kept(store)
    assert (await kept(store, limit=1), await kept(store, after=5)) == ([(5, b"5")], [(6, b"6")])
    assert await kept(store, after=6) == []
    record = await store.key("t", "k")
    assert record is not None
    assert (record.log_length, record.log_trimmed) == (6, 4)
    assert record in await store.keys()
    assert [position for position, _ in await kept(store, "other")] == [1, 2, 3, 4, 5, 6]


async def test_a_log_goes_on_from_where_it_was_however_little_is_left(store: FullStore) -> None:
    await append(store, 1, 2)
    assert await store.trim_log("t", "k", upto=FOREVER, older_than=0) == 2
    assert await kept(store) == []
    await append(store, 3)
    assert await kept(store) == await kept(store, after=2) == [(3, b"3")]
    assert await store.amend("t", "k", fence(), {"r": b"1"}, log_length=3) is True
    assert await store.trim_log("t", "k", upto=3, older_than=0) == 1
    record = await store.key("t", "k")
    assert record is not None
    assert (record.log_length, record.log_trimmed) == (3, 3)


async def test_what_is_too_young_stays_with_all_that_follows_it(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    ttl = store_harness.ttl
    await append(store, 1, 2)
    assert await store.trim_log("t", "k", upto=FOREVER, older_than=ttl) == 0
    await store_harness.elapse(ttl)
    await append(store, 3)
    assert await store.trim_log("t", "k", upto=FOREVER, older_than=ttl) == 2
    assert await kept(store) == [(3, b"3")]


async def test_many_go_at_once_and_not_one_more_than_asked(store: FullStore) -> None:
    await append(store, *range(35))
    assert await store.trim_log("t", "k", upto=34, older_than=0, limit=20) == 20
    assert await store.trim_log("t", "k", upto=34, older_than=0, limit=7) == 7
    assert await store.trim_log("t", "k", upto=34, older_than=0) == 7
    assert await kept(store) == [(35, b"34")]


async def test_of_a_key_that_is_not_known_nothing_is_dropped(store: FullStore) -> None:
    assert await store.trim_log("t", "nosuch", upto=FOREVER, older_than=0) == 0
    assert await store.key("t", "nosuch") is None
