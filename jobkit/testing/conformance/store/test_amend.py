"""Amending: records derived from a key's log, written outside of any job, and only under the mark."""

from __future__ import annotations

from jobkit.ports.store import Effects, LogEntry, Opened, Refused, Stale
from jobkit.testing.conformance.harness import FullStore
from jobkit.testing.conformance.values import committed, fence, opened, submitted

TWO_ENTRIES = Effects(entries=[LogEntry("A", b"1"), LogEntry("B", b"2")], records={"kept": b"0", "state": b"1"})


async def grown(store: FullStore) -> None:
    """Give the key a log of two entries."""
    await committed(store, await submitted(store, "first"), TWO_ENTRIES)


async def test_whoever_opens_is_told_how_long_the_log_is(store: FullStore) -> None:
    await grown(store)
    job = await submitted(store, "second")
    under = fence()
    for _ in range(2):
        answer = await store.open(job, under)
        assert isinstance(answer, Opened)
        assert answer.log_length == 2
    other = await store.open(await submitted(store, "other", key="another"), fence())
    assert isinstance(other, Opened)
    assert other.log_length == 0


async def test_amending_replaces_records_and_leaves_the_others_and_the_log(store: FullStore) -> None:
    await grown(store)
    under = fence()
    for _ in range(2):
        # The answer may have been lost.
        assert await store.amend("t", "k", under, {"state": b"2", "new": b"3"}, log_length=2) is True
    assert [await store.record("t", "k", name) for name in ("kept", "state", "new")] == [b"0", b"2", b"3"]
    assert [entry.data for entry in await store.log("t", "k")] == [b"1", b"2"]


async def test_amending_sets_the_mark_so_that_an_older_fence_writes_no_more(store: FullStore) -> None:
    await grown(store)
    job = await submitted(store, "second")
    under = await opened(store, job)
    newer = fence(under.token + 5)
    assert await store.amend("t", "k", newer, {"state": b"2"}, log_length=2) is True
    assert await store.commit(job, under, TWO_ENTRIES) == Refused(newer.token)
    key = await store.key("t", "k")
    assert key is not None
    assert (key.token, key.nonce, key.owner) == (newer.token, newer.nonce, newer.owner)


async def test_a_fence_below_the_mark_amends_nothing(store: FullStore) -> None:
    await grown(store)
    under = await opened(store, await submitted(store, "second"))
    for stale in (fence(under.token - 1), fence(under.token, "another nonce")):
        assert await store.amend("t", "k", stale, {"state": b"2"}, log_length=2) == Stale(under.token)
    assert await store.record("t", "k", "state") == b"1"


async def test_a_log_of_another_length_is_not_amended_for_but_the_mark_is_set(store: FullStore) -> None:
    await grown(store)
    under = fence()
    for length in (1, 3):
        assert await store.amend("t", "k", under, {"state": b"2"}, log_length=length) is False
    assert await store.record("t", "k", "state") == b"1"
    # From here on the log grows under this fence or a higher one only.
    key = await store.key("t", "k")
    assert key is not None
    assert key.token == under.token


async def test_a_key_that_nobody_knows_is_not_made_known_by_amending(store: FullStore) -> None:
    assert await store.amend("t", "k", fence(), {"state": b"2"}, log_length=0) is False
    assert await store.key("t", "k") is None
    assert await store.record("t", "k", "state") is None


async def test_keys_of_other_types_are_left_alone(store: FullStore) -> None:
    await grown(store)
    await committed(store, await submitted(store, "other", type="u"), TWO_ENTRIES)
    assert await store.amend("u", "k", fence(), {"state": b"2"}, log_length=2) is True
    assert await store.record("t", "k", "state") == b"1"
