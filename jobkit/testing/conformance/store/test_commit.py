"""Committing: everything or nothing, once, in order, and only under the mark."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from jobkit.errors import JobConflict
from jobkit.model.blob import BlobRef
from jobkit.model.partition import Partition
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Committed, Duplicate, Effects, LogEntry, NewJob, Refused
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.values import NOTHING, committed, envelope, fence, opened, submitted, unordered

BLOB = BlobRef("poster.jpg", "t/k/5-n/poster.jpg", 3, "ab" * 32)


def effects(*follow_ups: NewJob) -> Effects:
    return Effects(
        result=b'{"r": 1}',
        records={"state": b'"done"', "count": b"2"},
        entries=[LogEntry("Began", b"{}"), LogEntry("Ended", b'{"at": 1}')],
        follow_ups=follow_ups or [NewJob(envelope("next", type="u"), ordered=True)],
        blobs=[BLOB],
    )


async def snapshot(store: FullStore) -> dict[str, Any]:
    """Return all of a store that anybody can see."""
    keys = await store.keys()
    return {
        "jobs": await store.jobs(limit=10_000),
        "keys": keys,
        "logs": [await store.log(key.type, key.key) for key in keys],
        "records": [await store.record("t", "k", name) for name in ("state", "count")],
        "outbox": await store.outbox(older_than=-1, limit=10_000),
        "dead": await store.dead(limit=10_000),
        "gaps": await store.gaps(),
        "counts": await store.counts(),
        "shelved": await store.shelved(Partition("t", 0), limit=10_000),
    }


async def test_a_commit_makes_every_effect_true(store: FullStore) -> None:
    job = await submitted(store, "a")
    answer = await committed(store, job, effects(), fence(5, "n", "me"))
    assert answer.receipt.job_id == "a"
    (entry,) = answer.outbox
    assert entry.envelope == replace(envelope("next", type="u"), sequence=1)
    record = await store.job("a")
    assert record
    assert (record.state, record.result, record.progress) == (JobState.COMMITTED, b'{"r": 1}', 1.0)
    assert record.finished_at is not None
    key = await store.key("t", "k")
    assert key
    assert (key.committed_sequence, key.log_length, key.manifest) == (1, 2, (BLOB,))
    log = await store.log("t", "k")
    assert [(e.position, e.kind, e.data, e.job_id, e.sequence, e.token) for e in log] == [
        (1, "Began", b"{}", "a", 1, 5),
        (2, "Ended", b'{"at": 1}', "a", 1, 5),
    ]
    assert await store.record("t", "k", "state") == b'"done"'
    assert await store.record("t", "k", "count") == b"2"
    assert await store.outbox(older_than=-1, limit=10) == [entry]


async def test_committing_again_under_the_same_fence_answers_the_same_and_changes_nothing(store: FullStore) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    first = await store.commit(job, under, effects())
    assert isinstance(first, Committed)
    before = await snapshot(store)
    again = await store.commit(job, under, effects())
    assert isinstance(again, Committed)
    assert again.outbox == first.outbox
    assert again.receipt.job_id == "a"
    assert await snapshot(store) == before
    await store.published([entry.position for entry in first.outbox])
    last = await store.commit(job, under, effects())
    assert isinstance(last, Committed)
    assert last.outbox == []


async def test_a_lost_answer_can_be_asked_for_after_the_mark_has_moved_on(store: FullStore) -> None:
    job, other = await unordered(store, "a"), await unordered(store, "b")
    under = await opened(store, job)
    await store.commit(job, under, NOTHING)
    await opened(store, other)
    assert isinstance(await store.commit(job, under, NOTHING), Committed)


async def test_a_job_that_ended_otherwise_is_a_duplicate(store: FullStore) -> None:
    job = await unordered(store, "a")
    early = await opened(store, job)
    await committed(store, job, effects())
    before = await snapshot(store)
    answer = await store.commit(job, early, effects())
    assert isinstance(answer, Duplicate)
    assert answer.receipt.job_id == "a"
    dead = await unordered(store, "b")
    under = await opened(store, dead)
    before = await snapshot(store)
    await store.bury(dead, under, reason="hopeless")
    before = await snapshot(store)
    assert isinstance(await store.commit(dead, under, effects()), Duplicate)
    assert await snapshot(store) == before


@pytest.mark.parametrize(("token", "nonce"), [(4, "n4"), (5, "other"), (6, "n6"), (5, "")], ids=str)
async def test_a_fence_that_is_not_the_mark_cannot_commit(store: FullStore, token: int, nonce: str) -> None:
    job = await submitted(store, "a")
    await opened(store, job, fence(5, "n5"))
    before = await snapshot(store)
    assert await store.commit(job, fence(token, nonce), effects()) == Refused(5)
    assert await snapshot(store) == before


async def test_a_holder_whose_mark_was_overtaken_cannot_commit(store: FullStore) -> None:
    job = await submitted(store, "a")
    stale = await opened(store, job, fence(5))
    live = await opened(store, job, fence(6))
    before = await snapshot(store)
    assert await store.commit(job, stale, effects()) == Refused(6)
    assert await snapshot(store) == before
    assert isinstance(await store.commit(job, live, effects()), Committed)


async def test_a_mark_set_by_another_job_of_the_key_fences_too(store: FullStore) -> None:
    slow, quick = await unordered(store, "slow"), await unordered(store, "quick")
    stale = await opened(store, slow, fence(5))
    await opened(store, quick, fence(6))
    assert await store.commit(slow, stale, effects()) == Refused(6)


async def test_a_job_that_was_never_opened_cannot_commit(store: FullStore) -> None:
    job, other = await unordered(store, "a"), await unordered(store, "b")
    assert isinstance(await store.commit(job, fence(1), effects()), Refused)
    under = await opened(store, other)
    before = await snapshot(store)
    assert isinstance(await store.commit(job, under, effects()), Refused)
    assert await snapshot(store) == before


async def test_a_job_whose_turn_it_is_not_cannot_commit(store: FullStore) -> None:
    a, b = await submitted(store, "a"), await submitted(store, "b")
    under = fence()
    await store.open(b, under)
    before = await snapshot(store)
    assert isinstance(await store.commit(b, under, effects()), Refused)
    assert await snapshot(store) == before
    await committed(store, a)


async def test_a_job_whose_sequence_was_skipped_while_it_ran_cannot_commit(store: FullStore) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    await store.skip_gap("t", "k", before=2)
    assert isinstance(await store.commit(job, under, effects()), Refused)
    assert await store.log("t", "k") == []


async def test_of_many_commits_of_one_job_at_once_one_takes_effect(store_harness: Harness[FullStore]) -> None:
    async with store_harness.process() as one, store_harness.process() as other:
        job = await submitted(one, "a")

        async def attempt(token: int) -> object:
            store = (one, other)[token % 2]
            await store.open(job, fence(token))
            return await store.commit(job, fence(token), effects())

        answers = await asyncio.gather(*(attempt(token) for token in (4, 2, 9, 1, 7, 3, 10, 5, 8, 6)))
        assert sum(isinstance(answer, Committed) for answer in answers) == 1
        assert all(isinstance(answer, Committed | Duplicate | Refused) for answer in answers)
        assert len(await one.log("t", "k")) == 2
        assert (await one.counts()).jobs[JobState.COMMITTED] == 1


async def test_jobs_of_a_key_commit_in_sequence_and_its_log_has_no_holes(store: FullStore) -> None:
    jobs = [await submitted(store, str(number)) for number in range(1, 6)]
    for job in jobs:
        entries = [LogEntry("step", b"%d" % number) for number in range(job.sequence or 0)]
        await committed(store, job, Effects(entries=entries))
    log = await store.log("t", "k")
    assert [entry.position for entry in log] == list(range(1, 16))
    assert [entry.sequence for entry in log] == [1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5]
    assert [entry.token for entry in log] == sorted(entry.token for entry in log)
    assert [entry.position for entry in await store.log("t", "k", after=3, limit=2)] == [4, 5]


async def test_a_record_keeps_the_last_value_and_the_manifest_is_replaced_as_a_whole(store: FullStore) -> None:
    other = BlobRef("b", "t/k/6-n/b", 4, "cd" * 32)
    await committed(store, await submitted(store, "a"), Effects(records={"x": b"1", "y": b"1"}, blobs=[BLOB, other]))
    await committed(store, await submitted(store, "b"), Effects(records={"x": b"2"}, blobs=[other]))
    assert [await store.record("t", "k", name) for name in "xyz"] == [b"2", b"1", None]
    assert await store.record("t", "other", "x") is None
    key = await store.key("t", "k")
    assert key
    assert key.manifest == (other,)
    await committed(store, await submitted(store, "c"), NOTHING)
    key = await store.key("t", "k")
    assert key
    assert key.manifest == (other,)


async def test_follow_ups_get_sequences_after_those_already_given(store: FullStore) -> None:
    a, b = await submitted(store, "a"), await submitted(store, "b")
    answer = await committed(
        store, a, effects(NewJob(envelope("c"), True), NewJob(envelope("d"), True), NewJob(envelope("e"), False))
    )
    assert [entry.envelope.sequence for entry in answer.outbox] == [3, 4, None]
    record = await store.job("c")
    assert record
    assert record.state is JobState.QUEUED
    await committed(store, b)
    await committed(store, answer.outbox[0].envelope)


async def test_a_follow_up_that_is_known_already_is_not_made_twice(store: FullStore) -> None:
    known = await submitted(store, "next", type="u")
    answer = await committed(store, await submitted(store, "a"), effects())
    assert answer.outbox == []
    assert [job.id for job in await store.jobs(type="u")] == [known.id]
    assert (await submitted(store, "later", type="u")).sequence == 2


async def test_a_follow_up_whose_id_is_taken_stops_the_whole_commit(store: FullStore) -> None:
    await submitted(store, "next", type="u", body=b'"other"')
    job = await submitted(store, "a")
    under = await opened(store, job)
    before = await snapshot(store)
    with pytest.raises(JobConflict, match="next"):
        await store.commit(
            job, under, effects(NewJob(envelope("fresh"), True), NewJob(envelope("next", type="u"), True))
        )
    assert await snapshot(store) == before
    assert isinstance(await store.commit(job, under, effects(NewJob(envelope("fresh"), True))), Committed)


async def test_a_follow_up_that_cannot_be_ordered_stops_the_whole_commit(store: FullStore) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    before = await snapshot(store)
    with pytest.raises(ValueError, match="key"):
        await store.commit(job, under, effects(NewJob(envelope("keyless", key=None), True)))
    assert await snapshot(store) == before


async def test_a_commit_that_fails_does_not_disturb_those_made_at_the_same_time(store: FullStore) -> None:
    await submitted(store, "next", type="u", body=b'"other"')
    jobs = [await submitted(store, f"j{number}", key=f"k{number}") for number in range(10)]
    fences = [await opened(store, job) for job in jobs]
    answers = await asyncio.gather(
        *(
            store.commit(job, under, effects() if number % 3 == 0 else Effects(entries=[LogEntry("x", b"1")]))
            for number, (job, under) in enumerate(zip(jobs, fences, strict=True))
        ),
        return_exceptions=True,
    )
    for number, answer in enumerate(answers):
        assert isinstance(answer, JobConflict if number % 3 == 0 else Committed)
        assert len(await store.log("t", f"k{number}")) == (0 if number % 3 == 0 else 1)


@pytest.mark.parametrize("answer", ["commit", "bury"])
async def test_ending_a_job_takes_it_out_of_the_in_flight_table(store: FullStore, answer: str) -> None:
    job = await unordered(store, "a")
    under = await opened(store, job)
    await store.shelve(job, Partition("t", 0))
    end: dict[str, Callable[[], Awaitable[object]]] = {
        "commit": lambda: store.commit(job, under, NOTHING),
        "bury": lambda: store.bury(job, under, reason="hopeless"),
    }
    await end[answer]()
    assert await store.shelved(Partition("t", 0), limit=10) == []
