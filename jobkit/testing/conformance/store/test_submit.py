"""Submitting: accepted once, with a sequence, and in the outbox until the broker has it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from jobkit.model.envelope import Envelope
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Accepted, Conflict, Effects, Known, NewJob
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.values import committed, envelope, fence, opened, submitted, unordered


async def everything(store: FullStore) -> list[Envelope]:
    return [entry.envelope for entry in await store.outbox(older_than=-1, limit=1_000)]


async def test_ordered_jobs_get_their_keys_next_sequence_and_others_none(store: FullStore) -> None:
    answers = await store.submit(
        [
            NewJob(envelope("a1", key="a"), ordered=True),
            NewJob(envelope("b1", key="b"), ordered=True),
            NewJob(envelope("a2", key="a"), ordered=True),
            NewJob(envelope("u", key="a"), ordered=False),
            NewJob(envelope("other", key="a", type="other"), ordered=True),
        ]
    )
    assert all(isinstance(answer, Accepted) for answer in answers)
    assert [answer.envelope.sequence for answer in answers if isinstance(answer, Accepted)] == [1, 1, 2, None, 1]
    assert (await submitted(store, "a3", key="a")).sequence == 3


async def test_what_is_accepted_is_in_the_outbox_in_order_as_it_was_accepted(store: FullStore) -> None:
    sent = [
        Envelope(id=f"j{n}", type="t", key="ké", body=b"\x00\xff{}", submitted_at=4.25, trace={"a": "b"})
        for n in range(5)
    ]
    answers = await store.submit([NewJob(job, ordered=True) for job in sent])
    entries = await store.outbox(older_than=-1, limit=100)
    accepted = [answer for answer in answers if isinstance(answer, Accepted)]
    assert [(entry.position, entry.envelope) for entry in entries] == [(a.position, a.envelope) for a in accepted]
    assert [entry.envelope for entry in entries] == [replace(job, sequence=n) for n, job in enumerate(sent, start=1)]
    assert [entry.position for entry in entries] == sorted({entry.position for entry in entries})


async def test_the_same_job_again_is_known_as_it_was_accepted_and_writes_nothing(store: FullStore) -> None:
    first = await submitted(store, "a")
    again = replace(envelope("a"), submitted_at=99.0, trace={"new": "trace"})
    assert await store.submit([NewJob(again, ordered=True)]) == [Known(first)]
    assert await everything(store) == [first]
    assert (await submitted(store, "b")).sequence == 2


async def test_a_job_that_has_ended_is_still_known(store: FullStore) -> None:
    job = await submitted(store, "a")
    await committed(store, job)
    assert await store.submit([NewJob(envelope("a"), ordered=True)]) == [Known(job)]
    dying = await submitted(store, "b")
    await store.bury(dying, await opened(store, dying), reason="hopeless")
    assert await store.submit([NewJob(envelope("b"), ordered=True)]) == [Known(dying)]


@pytest.mark.parametrize(
    "other", [envelope("a", key="k2"), envelope("a", type="t2"), envelope("a", body=b'{"other": 1}')]
)
async def test_a_known_id_with_another_type_key_or_payload_is_a_conflict_and_writes_nothing(
    store: FullStore, other: Envelope
) -> None:
    first = await submitted(store, "a")
    assert await store.submit([NewJob(other, ordered=True)]) == [Conflict("a")]
    assert await everything(store) == [first]
    assert (await submitted(store, "b", key="k2")).sequence == 1
    assert (await submitted(store, "c", type="t2")).sequence == 1


async def test_one_call_answers_each_job_even_where_they_repeat(store: FullStore) -> None:
    a, b = envelope("a"), envelope("b")
    answers = await store.submit(
        [NewJob(a, True), NewJob(a, True), NewJob(envelope("a", body=b"[]"), True), NewJob(b, True)]
    )
    assert [type(answer) for answer in answers] == [Accepted, Known, Conflict, Accepted]
    assert [job.sequence for job in await everything(store)] == [1, 2]
    assert await store.submit([]) == []


async def test_an_ordered_job_without_a_key_is_refused_with_all_that_came_along(store: FullStore) -> None:
    with pytest.raises(ValueError, match="key"):
        await store.submit([NewJob(envelope("a"), True), NewJob(envelope("b", key=None), True)])
    assert await everything(store) == []
    assert await store.job("a") is None


async def test_twenty_submitters_at_once_leave_no_hole_and_repeat_no_sequence(
    store_harness: Harness[FullStore],
) -> None:
    async with store_harness.process() as one, store_harness.process() as other:

        async def submitter(number: int) -> list[int | None]:
            store = (one, other)[number % 2]
            return [(await submitted(store, f"{number}/{count}")).sequence for count in range(5)]

        taken = await asyncio.gather(*(submitter(number) for number in range(20)))
        assert sorted(sequence for own in taken for sequence in own if sequence) == list(range(1, 101))
        assert all(own == sorted(own, key=lambda sequence: sequence or 0) for own in taken)
        # The outbox publishes them in the order of their sequences.
        assert [job.sequence for job in await everything(one)] == list(range(1, 101))


async def test_the_same_job_submitted_by_many_at_once_is_accepted_once(store_harness: Harness[FullStore]) -> None:
    async with store_harness.process() as one, store_harness.process() as other:
        answers = await asyncio.gather(
            *((one, other)[number % 2].submit([NewJob(envelope("a"), True)]) for number in range(20))
        )
        flat = [answer for (answer,) in answers]
        assert sum(isinstance(answer, Accepted) for answer in flat) == 1
        assert {answer.envelope.sequence for answer in flat if isinstance(answer, Accepted | Known)} == {1}
        assert len(await everything(one)) == 1


async def test_the_outbox_is_read_on_from_any_entry(store: FullStore) -> None:
    for number in range(5):
        await submitted(store, str(number), key=str(number))
    entries = await store.outbox(older_than=-1, limit=100)
    assert await store.outbox(older_than=-1, limit=2, after=entries[1].position) == entries[2:4]
    assert await store.outbox(older_than=-1, limit=2, after=entries[4].position) == []
    # One that has left meanwhile is no obstacle.
    await store.published([entries[1].position])
    assert await store.outbox(older_than=-1, limit=100, after=entries[1].position) == entries[2:]


async def test_the_outbox_keeps_entries_from_who_did_not_make_them_for_a_while(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    old = await submitted(store, "old")
    await store_harness.elapse(2.0)
    young = await submitted(store, "young")
    assert [entry.envelope for entry in await store.outbox(older_than=1.0, limit=10)] == [old]
    await store_harness.elapse(2.0)
    assert [entry.envelope for entry in await store.outbox(older_than=1.0, limit=10)] == [old, young]
    assert [entry.envelope for entry in await store.outbox(older_than=1.0, limit=1)] == [old]


async def test_published_entries_are_gone_and_others_stay(store: FullStore) -> None:
    jobs = [await submitted(store, id) for id in "abc"]
    positions = [entry.position for entry in await store.outbox(older_than=-1, limit=10)]
    await store.published([positions[0], positions[2]])
    assert await everything(store) == [jobs[1]]
    await store.published([positions[0], 10**6])
    await store.published([])
    assert await everything(store) == [jobs[1]]


async def test_a_position_is_never_used_again(store: FullStore) -> None:
    await submitted(store, "a")
    (first,) = await store.outbox(older_than=-1, limit=10)
    await store.published([first.position])
    await submitted(store, "b")
    (second,) = await store.outbox(older_than=-1, limit=10)
    assert second.position > first.position


async def test_a_job_submitted_without_a_key_is_the_same_once_its_key_is_derived(store: FullStore) -> None:
    await store.submit([NewJob(envelope("a", key=None), ordered=False)])
    job = envelope("a", key="derived")
    under = await opened(store, job)
    await store.commit(job, under, Effects())
    record = await store.job("a")
    assert record
    assert (record.key, record.state) == ("derived", JobState.COMMITTED)


async def test_what_was_submitted_survives_the_process(store_harness: Harness[FullStore]) -> None:
    async with store_harness.process() as gone:
        job = await submitted(gone, "a")
        loose = await unordered(gone, "u")
        await gone.open(loose, fence(7_000))
    async with store_harness.process() as store:
        assert await everything(store) == [job, loose]
        record = await store.key("t", "k")
        assert record
        assert (record.token, record.submitted_sequence) == (7_000, 1)
