"""Jobs set aside: parked behind a gap, or shelved while they run without a delivery."""

from __future__ import annotations

import asyncio

import pytest

from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Committed, Gap, Opened, Skipped, Superseded
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.values import NOTHING, buried, committed, envelope, fence, opened, submitted, unordered

HERE, THERE = Partition("t", 0), Partition("t", 1)


async def drained(store: FullStore) -> list[str]:
    """Publish the whole outbox; return the ids that were in it."""
    entries = await store.outbox(older_than=-1, limit=1_000)
    await store.published([entry.position for entry in entries])
    return [entry.envelope.id for entry in entries]


async def queue(store: FullStore, ids: str) -> list[Envelope]:
    """Submit ordered jobs of one key and publish them."""
    jobs = [await submitted(store, id) for id in ids]
    await drained(store)
    return jobs


async def park(store: FullStore, *jobs: Envelope) -> None:
    for job in jobs:
        assert isinstance(await store.open(job, fence()), Gap)
        assert isinstance(await store.park(job, reason=f"{job.id} waited too long"), Receipt)


async def state(store: FullStore, id: str) -> JobState | None:
    record = await store.job(id)
    return None if record is None else record.state


async def test_a_parked_job_waits_until_its_gap_closes(store: FullStore) -> None:
    a, b = await queue(store, "ab")
    await park(store, b)
    assert await state(store, "b") is JobState.PARKED
    assert await drained(store) == []
    answer = await committed(store, a)
    assert [entry.envelope for entry in answer.outbox] == [b]
    assert await state(store, "b") is JobState.QUEUED
    assert await drained(store) == ["b"]
    await committed(store, b)
    assert await store.gaps() == []


async def test_a_commit_frees_all_parked_jobs_that_follow_without_a_gap_in_order(store: FullStore) -> None:
    a, b, c, _, e = await queue(store, "abcde")
    await park(store, e, c, b)
    answer = await committed(store, a)
    assert [entry.envelope.id for entry in answer.outbox] == ["b", "c"]
    assert await drained(store) == ["b", "c"]
    assert [await state(store, id) for id in "bce"] == [JobState.QUEUED, JobState.QUEUED, JobState.PARKED]
    (gap,) = await store.gaps()
    assert (gap.expected, gap.first, gap.parked) == (2, 5, 1)


async def test_parking_again_changes_nothing(store: FullStore) -> None:
    a, b = await queue(store, "ab")
    await park(store, b, b)
    assert (await store.counts()).parked == 1
    assert [entry.envelope.id for entry in (await committed(store, a)).outbox] == ["b"]


async def test_a_job_whose_gap_has_closed_meanwhile_goes_to_the_outbox(store: FullStore) -> None:
    a, b = await queue(store, "ab")
    assert isinstance(await store.open(b, fence()), Gap)
    await committed(store, a)
    assert isinstance(await store.park(b, reason="too late"), Receipt)
    assert await drained(store) == ["b"]
    assert await store.gaps() == []
    await committed(store, b)


async def test_parking_and_the_commit_that_closes_the_gap_never_lose_the_job(store_harness: Harness[FullStore]) -> None:
    async with store_harness.process() as one, store_harness.process() as other:
        for round in range(20):
            key = f"k{round}"
            a, b = await submitted(one, f"a{round}", key=key), await submitted(one, f"b{round}", key=key)
            await drained(one)
            assert isinstance(await other.open(b, fence()), Gap)
            under = await opened(one, a)
            parking, commit = other.park(b, reason="race"), one.commit(a, under, NOTHING)
            await asyncio.gather(*((parking, commit) if round % 2 else (commit, parking)))
            assert await drained(one) == [b.id]
            assert await state(one, b.id) is JobState.QUEUED
        assert (await one.counts()).parked == 0


async def test_parking_a_job_that_has_ended_does_nothing(store: FullStore) -> None:
    (a,) = await queue(store, "a")
    await committed(store, a)
    assert isinstance(await store.park(a, reason="late"), Receipt)
    assert await drained(store) == []
    assert await state(store, "a") is JobState.COMMITTED


async def test_a_parked_job_that_is_buried_is_parked_no_more(store: FullStore) -> None:
    a, b = await queue(store, "ab")
    under = fence()
    await store.open(b, under)
    await store.park(b, reason="gap")
    assert isinstance(await store.bury(b, under, reason="hopeless"), Receipt)
    assert await store.gaps() == []
    await committed(store, a)
    assert await drained(store) == []
    assert await state(store, "b") is JobState.DEAD


async def test_a_job_without_a_sequence_cannot_be_parked(store: FullStore) -> None:
    with pytest.raises(ValueError, match="sequence"):
        await store.park(await unordered(store, "a"), reason="why")


async def test_gaps_tell_what_is_expected_since_when_and_why(store: FullStore) -> None:
    jobs = await queue(store, "abcd")
    await park(store, jobs[2], jobs[1], jobs[3])
    await submitted(store, "x1", key="later")
    await park(store, await submitted(store, "x2", key="later"))
    gap, later = await store.gaps()
    assert await store.gap("t", "k") == gap
    assert await store.gap("t", "nosuch") is None
    assert (gap.type, gap.key, gap.expected, gap.first, gap.parked) == ("t", "k", 1, 2, 3)
    assert gap.reason == "b waited too long"
    assert gap.since <= later.since
    assert later.key == "later"


async def test_gaps_come_in_pages_in_order_of_their_names(store: FullStore) -> None:
    names = [("s", "b"), ("t", ""), ("t", "a"), ("t", "k"), ("u", "A")]
    for number, (type, key) in enumerate(reversed(names)):
        _, *rest = [await submitted(store, f"{number}.{place}", type=type, key=key) for place in range(3)]
        await park(store, *rest)
    assert [(gap.type, gap.key) for gap in await store.gaps()] == names
    for start in range(len(names)):
        page = await store.gaps(after=names[start], limit=2)
        assert [(gap.type, gap.key) for gap in page] == names[start + 1 : start + 3]
        assert [(gap.expected, gap.first, gap.parked) for gap in page] == [(1, 2, 2)] * len(page)


async def test_resuming_a_gap_tries_all_parked_jobs_again_in_order(store: FullStore) -> None:
    _, b, c, d = await queue(store, "abcd")
    await park(store, d, b, c)
    assert await store.resume_gap("t", "k") == 3
    assert await drained(store) == ["b", "c", "d"]
    assert await store.gaps() == []
    assert await store.open(b, fence()) == Gap(1, blocked=False)
    assert await store.resume_gap("t", "k") == 0
    assert await store.resume_gap("t", "nosuch") == 0


async def test_skipping_gives_sequences_up_and_resumes(store: FullStore) -> None:
    _, _, c, d, _, f = await queue(store, "abcdef")
    await park(store, f, d, c)
    assert await store.skip_gap("t", "k", before=3) == 2
    assert await drained(store) == ["c", "d"]
    await committed(store, c)
    await committed(store, d)
    (gap,) = await store.gaps()
    assert (gap.expected, gap.first) == (5, 6)
    key = await store.key("t", "k")
    assert key
    assert key.committed_sequence == 4


async def test_parked_jobs_whose_own_sequence_is_skipped_come_out_too(store: FullStore) -> None:
    _, b, c, d = await queue(store, "abcd")
    await park(store, b, d)
    assert await store.skip_gap("t", "k", before=4) == 2
    assert await drained(store) == ["b", "d"]
    assert not isinstance(await store.open(b, fence()), Opened)
    assert not isinstance(await store.open(c, fence()), Opened)
    await committed(store, d)


@pytest.mark.parametrize("before", [-1, 0, 1, 2, 3])
async def test_only_sequences_from_the_expected_one_on_can_be_skipped(store: FullStore, before: int) -> None:
    a, b, _ = await queue(store, "abc")
    await committed(store, a)
    await committed(store, b)
    with pytest.raises(ValueError, match="3"):
        await store.skip_gap("t", "k", before=before)


async def test_sequences_submitted_after_a_skip_come_after_it(store: FullStore) -> None:
    await queue(store, "a")
    await store.skip_gap("t", "k", before=10)
    job = await submitted(store, "b")
    assert job.sequence == 10
    await committed(store, job)


async def test_skipping_past_a_dead_job_lets_the_next_one_through(store: FullStore) -> None:
    a, b = await queue(store, "ab")
    number = await buried(store, a)
    await park(store, b)
    assert await store.skip_gap("t", "k", before=2) == 1
    await committed(store, b)
    # Requeued after all, its turn is the key's next.
    assert await store.requeue_dead(number) == a
    await committed(store, a)
    assert (await submitted(store, "c")).sequence == 4


async def test_ranges_skipped_one_after_another_are_all_remembered(store: FullStore) -> None:
    await store.skip_gap("t", "k", before=4)
    job = await submitted(store, "x")
    assert job.sequence == 4
    await committed(store, job)
    await store.skip_gap("t", "k", before=8)
    answers = [await store.open(envelope(f"f{n}", sequence=n), fence()) for n in range(1, 8)]
    assert [type(answer) for answer in answers] == [Skipped] * 3 + [Superseded] + [Skipped] * 3


async def test_a_shelved_job_is_kept_for_its_partition_oldest_first(store: FullStore) -> None:
    jobs = [await unordered(store, id) for id in "abc"]
    for job in jobs:
        assert isinstance(await store.shelve(job, HERE), Receipt)
    await store.shelve(await unordered(store, "elsewhere", key="l"), THERE)
    assert [shelved.envelope for shelved in await store.shelved(HERE, limit=10)] == jobs
    assert [shelved.envelope for shelved in await store.shelved(HERE, limit=2)] == jobs[:2]
    assert (await store.counts()).shelved == 4


async def test_shelving_again_changes_nothing(store: FullStore) -> None:
    job = await submitted(store, "a")
    await store.shelve(job, HERE)
    before = await store.shelved(HERE, limit=10)
    await store.shelve(job, HERE)
    assert await store.shelved(HERE, limit=10) == before
    assert len(before) == 1


async def test_a_job_that_has_ended_is_not_shelved(store: FullStore) -> None:
    job = await unordered(store, "a")
    await committed(store, job)
    assert isinstance(await store.shelve(job, HERE), Receipt)
    assert await store.shelved(HERE, limit=10) == []


async def test_a_shelved_job_that_is_parked_is_kept_in_one_place(store: FullStore) -> None:
    a, b = await queue(store, "ab")
    await store.shelve(b, HERE)
    await park(store, b)
    assert await store.shelved(HERE, limit=10) == []
    answer = await committed(store, a)
    assert [entry.envelope for entry in answer.outbox] == [b]


async def test_a_shelved_job_can_be_adopted_by_the_next_holder(store_harness: Harness[FullStore]) -> None:
    async with store_harness.process() as gone:
        job = await submitted(gone, "a")
        stale = await opened(gone, job)
        await gone.shelve(job, HERE)
    async with store_harness.process() as store:
        (shelved,) = await store.shelved(HERE, limit=10)
        under = await opened(store, shelved.envelope)
        assert not isinstance(await store.commit(job, stale, NOTHING), Committed)
        assert isinstance(await store.commit(shelved.envelope, under, NOTHING), Committed)
        assert await store.shelved(HERE, limit=10) == []


async def test_the_in_flight_table_is_read_on_from_any_position(store: FullStore) -> None:
    jobs = [await unordered(store, id) for id in "abcde"]
    for job in jobs:
        await store.shelve(job, HERE)
    first = await store.shelved(HERE, limit=2)
    rest = await store.shelved(HERE, limit=10, after=first[-1].position)
    assert [entry.envelope for entry in [*first, *rest]] == jobs
    assert await store.shelved(HERE, limit=10, after=rest[-1].position) == []


async def test_the_in_flight_table_is_read_by_key(store: FullStore) -> None:
    """So that many jobs of one key hide no other key's."""
    jobs = {key: [await unordered(store, f"{key}{n}", key=key) for n in range(3)] for key in ("k", "K", "ü", "k/2")}
    for number in range(3):
        for key in jobs:
            await store.shelve(jobs[key][number], HERE)
    await store.shelve(await unordered(store, "elsewhere", key="other"), THERE)
    keys = ["K", "k", "k/2", "ü"]
    assert await store.shelved_keys(HERE, limit=10) == keys
    assert await store.shelved_keys(HERE, limit=2) == keys[:2]
    assert await store.shelved_keys(HERE, limit=2, after="k") == keys[2:]
    assert await store.shelved_keys(HERE, limit=2, after="ü") == []
    for key in keys:
        found = await store.shelved(HERE, limit=10, key=key)
        assert [entry.envelope for entry in found] == jobs[key]
        assert await store.shelved(HERE, limit=10, key=key, after=found[0].position) == found[1:]
    assert await store.shelved(HERE, limit=10, key="nobody's") == []
    for job in jobs["k"]:
        assert await store.shelved_keys(HERE, limit=10) == keys
        await committed(store, job)
    assert await store.shelved_keys(HERE, limit=10) == ["K", "k/2", "ü"]
