"""Unique names that many ask for: at once, in one batch, or with the commit of another job."""

from __future__ import annotations

import asyncio

from jobkit.ports.inspection import JobState
from jobkit.ports.store import Accepted, Duplicate, Effects, Kept, Known, NewJob
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.store.naming import LONG, accepted, asked, keeps, named
from jobkit.testing.conformance.values import committed, envelope, fence, opened, submitted

# ---- many at once ------------------------------------------------------------------------------------------------


async def test_of_many_at_once_exactly_one_is_accepted(store_harness: Harness[FullStore]) -> None:
    async with store_harness.process() as one, store_harness.process() as other:
        answers = await asyncio.gather(
            *((one, other)[number % 2].submit([named(f"j{number}", ordered=number % 3 == 0)]) for number in range(40))
        )
        flat = [answer for (answer,) in answers]
        (first,) = [answer for answer in flat if isinstance(answer, Accepted)]
        assert {answer.id for answer in flat if isinstance(answer, Kept)} == {first.envelope.id}
        assert len([answer for answer in flat if isinstance(answer, Kept)]) == 39
        assert [job.id for job in await one.jobs()] == [first.envelope.id]


async def test_of_many_that_replace_each_other_at_once_the_last_is_left(store_harness: Harness[FullStore]) -> None:
    async with store_harness.process() as one, store_harness.process() as other:
        answers = await asyncio.gather(
            *(
                (one, other)[number % 2].submit([named(f"j{number}", replace=True, ordered=True, key=f"k{number % 3}")])
                for number in range(30)
            )
        )
        flat = [answer for (answer,) in answers if isinstance(answer, Accepted)]
        assert len(flat) == 30
        replaced = [answer.replaced for answer in flat if answer.replaced is not None]
        assert len(replaced) == len(set(replaced)) == 29
        (left,) = await one.jobs(state=JobState.QUEUED)
        assert {left.id} == {answer.envelope.id for answer in flat} - set(replaced)
        counts = await one.counts()
        assert (counts.jobs[JobState.CANCELLED], counts.outbox) == (29, 1)


async def test_of_a_begin_and_a_replacement_at_once_one_is_first(store_harness: Harness[FullStore]) -> None:
    async with store_harness.process() as one, store_harness.process() as other:
        for round in range(20):
            name = f"n{round}"
            first = await accepted(one, named(f"a{round}", name, key=f"k{round}"))
            begun, answer = await asyncio.gather(
                other.open(first, fence()), asked(one, named(f"b{round}", name, key=f"k{round}", replace=True))
            )
            assert isinstance(answer, Accepted)
            record = await one.job(first.id)
            assert record
            if answer.replaced is None:
                assert record.state is JobState.RUNNING
            else:
                assert answer.replaced == first.id
                assert isinstance(begun, Duplicate)
                assert begun.receipt.kind == "cancelled"


# ---- in one transaction ------------------------------------------------------------------------------------------


async def test_of_two_of_one_name_in_a_batch_the_first_is_kept(store: FullStore) -> None:
    answers = await store.submit([named("a"), NewJob(envelope("plain"), False), named("b"), named("c", "another")])
    assert [type(answer) for answer in answers] == [Accepted, Accepted, Kept, Accepted]
    assert answers[2] == Kept("a", "k", None, None)
    assert [entry.envelope.id for entry in await store.outbox(older_than=-1, limit=10)] == ["a", "plain", "c"]


async def test_of_two_of_one_name_in_a_batch_the_second_may_replace_the_first(store: FullStore) -> None:
    jobs = [
        named("a", ordered=True),
        NewJob(envelope("plain"), True),
        named("b", ordered=True, replace=True),
        named("a", ordered=True),
        named("c", ordered=True, replace=True, after=LONG),
    ]
    answers = await store.submit(jobs)
    assert [type(answer) for answer in answers] == [Accepted, Accepted, Accepted, Known, Accepted]
    assert [answer.replaced for answer in answers if isinstance(answer, Accepted)] == [None, None, "a", "b"]
    assert [entry.envelope.id for entry in await store.outbox(older_than=-1, limit=10)] == ["plain"]
    (plain,) = await store.jobs(state=JobState.QUEUED)
    assert plain.sequence == 2
    counts = await store.counts()
    assert (counts.jobs[JobState.CANCELLED], counts.jobs[JobState.SCHEDULED]) == (2, 1)


async def test_a_batch_may_name_many(store: FullStore) -> None:
    await accepted(store, named("first", "n7"))
    answers = await store.submit([named(f"j{number}", f"n{number}", key=f"k{number % 5}") for number in range(200)])
    assert [answer for answer in answers if not isinstance(answer, Accepted)] == [Kept("first", "k", None, None)]
    for number in (0, 100, 199):
        await keeps(store, f"j{number}", named("again", f"n{number}"))


async def test_a_follow_up_takes_its_name_as_its_job_commits(store: FullStore) -> None:
    await accepted(store, named("there", "held"))
    await accepted(store, named("older", "replaced"))
    parent = await submitted(store, "parent", key="p")
    answer = await committed(
        store,
        parent,
        Effects(
            follow_ups=[
                named("free", "free"),
                named("kept", "held"),
                named("newer", "replaced", replace=True),
                named("twice", "free"),
                named("instead", "free", replace=True),
                NewJob(envelope("plain"), False),
            ]
        ),
    )
    assert [entry.envelope.id for entry in answer.outbox] == ["newer", "instead", "plain"]
    assert {job.id: job.state for job in await store.jobs(key="k")} == {
        "there": JobState.QUEUED,
        "older": JobState.CANCELLED,
        "free": JobState.CANCELLED,
        "newer": JobState.QUEUED,
        "instead": JobState.QUEUED,
        "plain": JobState.QUEUED,
    }
    await keeps(store, "instead", named("again", "free"))


async def test_a_job_may_be_followed_by_one_of_its_own_name(store: FullStore) -> None:
    first = await accepted(store, named("a", while_="unfinished"))
    answer = await committed(store, first, Effects(follow_ups=[named("b", while_="unfinished")]))
    assert [entry.envelope.id for entry in answer.outbox] == ["b"]
    await keeps(store, "b", named("c"))


async def test_the_follow_up_of_a_job_that_does_not_commit_holds_no_name(store: FullStore) -> None:
    parent = await submitted(store, "parent", key="p")
    under = await opened(store, parent)
    await store.cancel(["parent"], by="me", reason="")
    await store.commit(parent, under, Effects(follow_ups=[named("a")]))
    await accepted(store, named("b"))
