"""A store that lost its last moments: sequences it gave out then are given out again, and both messages come.

What it lost is simulated by what is left of it: messages that the store knows nothing of, with sequences of its own.
"""

from __future__ import annotations

import pytest

from jobkit.model.envelope import Envelope
from jobkit.model.partition import Partition
from jobkit.model.sequence import MAX_SEQUENCE
from jobkit.ports.inspection import JobState
from jobkit.ports.rules import SUPERSEDED
from jobkit.ports.store import Gap, Opened, Superseded
from jobkit.testing.conformance.harness import FullStore
from jobkit.testing.conformance.values import committed, envelope, fence, opened, submitted


async def took_effect(store: FullStore) -> list[tuple[str, int | None]]:
    """Return the ids and sequences of what is committed, of each job whose name is not in the log's way."""
    jobs = [job for job in await store.jobs(key="k") if job.state is JobState.COMMITTED]
    return sorted((job.id, job.sequence) for job in jobs)


async def dead_lettered(store: FullStore, lost: Envelope) -> int:
    """Dead-letter a message as a worker does; return its letter's number."""
    await store.bury_message(lost.body, lost, reason=SUPERSEDED)
    return (await store.dead())[-1].number


@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_the_newer_job_keeps_the_sequence_that_it_was_given(store: FullStore, lost: int) -> None:
    newer = [await submitted(store, id) for id in "abc"]
    under = fence()
    assert await store.open(envelope("lost", sequence=lost), under) == Superseded(lost)
    assert await store.job("lost") is None
    record = await store.key("t", "k")
    assert record
    assert record.token == under.token
    for job in newer:
        await committed(store, job)
    assert await took_effect(store) == [("a", 1), ("b", 2), ("c", 3)]
    assert await store.open(envelope("lost", sequence=lost), fence()) == Superseded(lost)


async def test_a_lost_job_whose_sequence_nobody_has_takes_it_and_keeps_it(store: FullStore) -> None:
    assert await store.open(envelope("third", sequence=3), fence()) == Gap(1, blocked=False)
    # Between the last one given out and that one, sequences are nobody's yet.
    assert await store.open(envelope("second", sequence=2), fence()) == Gap(1, blocked=False)
    assert await store.open(envelope("another second", sequence=2), fence()) == Superseded(2)
    assert (await submitted(store, "newer")).sequence == 4
    assert await store.open(envelope("another", sequence=4), fence()) == Superseded(4)
    for id, sequence in (("first", 1), ("second", 2), ("third", 3), ("newer", 4)):
        await committed(store, envelope(id, sequence=sequence))
    assert await took_effect(store) == [("first", 1), ("newer", 4), ("second", 2), ("third", 3)]


async def test_holes_are_filled_from_either_side_and_only_once(store: FullStore) -> None:
    for sequence in (9, 5, 4, 6, 1, 8):
        assert not isinstance(await store.open(envelope(f"f{sequence}", sequence=sequence), fence()), Superseded)
    for sequence in (1, 4, 5, 6, 8, 9):
        assert await store.open(envelope(f"other {sequence}", sequence=sequence), fence()) == Superseded(sequence)
    for sequence in (2, 3, 7):
        assert not isinstance(await store.open(envelope(f"f{sequence}", sequence=sequence), fence()), Superseded)
        assert await store.open(envelope(f"other {sequence}", sequence=sequence), fence()) == Superseded(sequence)
    assert (await submitted(store, "newer")).sequence == 10


async def test_a_sequence_that_is_never_given_out_is_nobodys(store: FullStore) -> None:
    for id in ("one", "other"):
        assert await store.open(envelope(id, sequence=MAX_SEQUENCE), fence()) == Gap(1, blocked=False)
    assert (await submitted(store, "newer")).sequence == 1


async def test_a_dead_and_a_cancelled_job_keep_their_sequences_too(store: FullStore) -> None:
    _, dead, gone = [await submitted(store, id) for id in "abc"]
    await store.bury_message(dead.body, dead, reason="hopeless")
    await store.cancel([gone.id], by="ann", reason="")
    assert await store.open(envelope("lost", sequence=2), fence()) == Superseded(2)
    assert await store.open(envelope("lost too", sequence=3), fence()) == Superseded(3)


async def test_the_message_of_a_superseded_job_is_neither_parked_nor_kept_in_flight(store: FullStore) -> None:
    await submitted(store, "a")
    newer = await submitted(store, "b")
    lost, other = envelope("lost", sequence=2), envelope("other", sequence=2, body=b"[]")
    assert (await store.park(lost, reason="gap")).kind == "dead"
    assert (await store.shelve(other, Partition("t", 0))).kind == "dead"
    assert [letter.reason for letter in await store.dead()] == [SUPERSEDED] * 2
    assert await store.shelved(Partition("t", 0), limit=10) == []
    assert await store.gaps() == []
    await committed(store, envelope("a"))
    assert isinstance(await store.open(newer, fence()), Opened)


async def test_requeued_it_comes_behind_all_others_of_its_key(store: FullStore) -> None:
    jobs = [await submitted(store, id) for id in "ab"]
    lost = envelope("lost", sequence=1)
    number = await dead_lettered(store, lost)
    assert await store.requeue_dead(number) is not None
    record = await store.job("lost")
    assert record
    assert (record.state, record.sequence) == (JobState.QUEUED, 3)
    outbox = await store.outbox(older_than=-1, limit=10)
    assert (outbox[-1].envelope.id, outbox[-1].envelope.sequence) == ("lost", 3)
    assert (await submitted(store, "newest")).sequence == 4
    # The old message, which tells the old sequence, may still come.
    assert await store.open(lost, fence()) == Gap(1, blocked=False)
    for job in jobs:
        await committed(store, job)
    await committed(store, lost)
    assert await took_effect(store) == [("a", 1), ("b", 2), ("lost", 3)]


async def test_requeued_after_its_sequence_was_committed_it_comes_next(store: FullStore) -> None:
    await committed(store, await submitted(store, "a"))
    number = await dead_lettered(store, envelope("lost", sequence=1))
    await store.requeue_dead(number)
    await committed(store, envelope("lost", sequence=1))
    assert await took_effect(store) == [("a", 1), ("lost", 2)]


async def test_a_requeued_message_whose_sequence_is_free_keeps_it(store: FullStore) -> None:
    number = await dead_lettered(store, envelope("early", sequence=2))
    await store.requeue_dead(number)
    record = await store.job("early")
    assert record
    assert record.sequence == 2
    assert (await submitted(store, "newer")).sequence == 3
    assert await store.open(envelope("other", sequence=2), fence()) == Superseded(2)
    assert await store.open(envelope("first", sequence=1), fence()) == Opened(1, (), 0)


async def test_a_job_whose_turn_was_given_up_runs_once_it_is_requeued(store: FullStore) -> None:
    a, b = await submitted(store, "a"), await submitted(store, "b")
    await store.skip_gap("t", "k", before=2)
    await store.bury_message(a.body, a, reason="sequence skipped")
    await store.requeue_dead((await store.dead())[0].number)
    await committed(store, b)
    under = await opened(store, a)
    assert under
    record = await store.job("a")
    assert record
    assert (record.state, record.sequence) == (JobState.RUNNING, 3)
