"""Unique names: one job at a time holds one, from when it is accepted until it begins, or until it has ended."""

from __future__ import annotations

import asyncio

import pytest

from jobkit.errors import UniqueNameTaken
from jobkit.model.envelope import Envelope
from jobkit.model.partition import Partition
from jobkit.model.unique import Unique, While
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Accepted, Conflict, Duplicate, Effects, Kept, Known, NewJob, SubmitAnswer
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.values import buried, committed, envelope, failure, fence, opened, submitted

HERE = Partition("t", 0)
LONG = 3_600.0
NAME = "report:acme"


def named(
    id: str,
    name: str = NAME,
    *,
    while_: While = "queued",
    replace: bool = False,
    key: str | None = "k",
    type: str = "t",
    body: bytes = b"{}",
    ordered: bool = False,
    after: float | None = None,
    expires_after: float | None = None,
) -> NewJob:
    job = envelope(id, type=type, key=key, body=body)
    return NewJob(job, ordered, after=after, expires_after=expires_after, unique=Unique(name, while_, replace))


async def asked(store: FullStore, job: NewJob) -> SubmitAnswer:
    (answer,) = await store.submit([job])
    return answer


async def accepted(store: FullStore, job: NewJob) -> Envelope:
    answer = await asked(store, job)
    assert isinstance(answer, Accepted), answer
    assert answer.replaced is None
    return answer.envelope


async def keeps(store: FullStore, id: str, job: NewJob) -> None:
    """Have the store refuse `job` because of the one called `id`, and write nothing."""
    before = await store.counts()
    answer = await asked(store, job)
    assert isinstance(answer, Kept), answer
    assert answer.id == id
    assert await store.job(job.envelope.id) is None
    assert await store.counts() == before


async def replaces(store: FullStore, id: str, job: NewJob) -> Accepted:
    answer = await asked(store, job)
    assert isinstance(answer, Accepted), answer
    assert answer.replaced == id
    record = await store.job(id)
    assert record
    assert (record.state, record.ended_by) == (JobState.CANCELLED, "jobkit")
    assert record.reason == f"replaced by {job.envelope.id}"
    return answer


async def ended_as(store: FullStore, job: Envelope) -> str:
    """Open a job that has ended, and return how it did."""
    answer = await store.open(job, fence())
    assert isinstance(answer, Duplicate), answer
    return answer.receipt.kind


# ---- who holds a name --------------------------------------------------------------------------------------------


async def test_while_a_job_waits_another_of_its_name_is_not_accepted(store: FullStore) -> None:
    first = await accepted(store, named("a"))
    await keeps(store, "a", named("b"))
    await accepted(store, named("other", "report:umbrella"))
    assert [entry.envelope.id for entry in await store.outbox(older_than=-1, limit=10)] == ["a", "other"]
    await committed(store, first)


async def test_what_is_kept_is_told_of(store: FullStore) -> None:
    await submitted(store, "before")
    await accepted(store, named("a", ordered=True))
    assert await asked(store, named("b")) == Kept("a", "k", 2, None)
    answer = await asked(store, named("later", "another", after=LONG, key=None))
    assert isinstance(answer, Accepted)
    assert answer.due is not None
    kept = await asked(store, named("c", "another"))
    assert isinstance(kept, Kept)
    assert (kept.id, kept.key, kept.sequence) == ("later", None, None)
    assert kept.due == pytest.approx(answer.due, abs=0.001)


async def test_a_job_shows_its_name(store: FullStore) -> None:
    await accepted(store, named("a"))
    await submitted(store, "b")
    assert [job.unique for job in await store.jobs()] == [None, NAME]
    record = await store.job("a")
    assert record
    assert record.unique == NAME


async def test_a_name_that_is_held_while_queued_is_free_once_its_job_has_begun(store: FullStore) -> None:
    first = await accepted(store, named("a"))
    under = await opened(store, first)
    await accepted(store, named("b"))
    await keeps(store, "b", named("c"))
    await store.commit(first, under, Effects())
    await keeps(store, "b", named("c"))


async def test_a_name_that_is_held_while_unfinished_is_free_once_its_job_has_ended(store: FullStore) -> None:
    first = await accepted(store, named("a", while_="unfinished"))
    under = await opened(store, first)
    await keeps(store, "a", named("b", while_="unfinished"))
    # How long the one that holds it does is what that one said.
    await keeps(store, "a", named("b", while_="queued"))
    await store.commit(first, under, Effects())
    await accepted(store, named("b", while_="unfinished"))


async def test_a_job_that_has_begun_does_not_take_its_name_back(store: FullStore) -> None:
    failed = await accepted(store, named("failed"))
    under = await opened(store, failed)
    await store.fail(failed, under, failure(1), retry_in=0.0)
    put_back = await accepted(store, named("put back"))
    await store.snooze(put_back, await opened(store, put_back), after=LONG)
    await accepted(store, named("a"))
    assert {job.id: job.state for job in await store.jobs()} == {
        "failed": JobState.QUEUED,
        "put back": JobState.SCHEDULED,
        "a": JobState.QUEUED,
    }


async def test_a_job_that_waits_for_its_turn_has_not_begun(store: FullStore) -> None:
    await submitted(store, "before")
    waiting = await accepted(store, named("a", ordered=True))
    await store.open(waiting, fence())
    await keeps(store, "a", named("b"))
    await store.shelve(waiting, HERE)
    await keeps(store, "a", named("b"))
    await store.park(waiting, reason="a gap")
    await keeps(store, "a", named("b"))
    await replaces(store, "a", named("c", replace=True, ordered=True))
    assert (await store.counts()).parked == 0
    assert await store.shelved(HERE, limit=10) == []


@pytest.mark.parametrize("while_", ["queued", "unfinished"])
async def test_whatever_ends_a_job_frees_its_name(
    store: FullStore, store_harness: Harness[FullStore], while_: While
) -> None:
    await store.cancel([(await accepted(store, named("a", while_=while_))).id], by="me", reason="")
    await buried(store, await accepted(store, named("b", while_=while_)))
    await committed(store, await accepted(store, named("c", while_=while_)))
    message = await accepted(store, named("d", while_=while_))
    await store.bury_message(message.body, message, reason="invalid")
    await accepted(store, named("e", while_=while_, expires_after=store_harness.ttl))
    await store_harness.elapse(store_harness.ttl * 1.2)
    await store.expire_due(limit=10)
    await accepted(store, named("f", while_=while_))


async def test_what_should_have_begun_by_now_holds_nothing(store: FullStore, store_harness: Harness[FullStore]) -> None:
    stale = await accepted(store, named("a", expires_after=store_harness.ttl))
    await store_harness.elapse(store_harness.ttl * 1.2)
    await accepted(store, named("b"))
    assert await ended_as(store, stale) == "expired"
    record = await store.job("a")
    assert record
    assert record.state is JobState.EXPIRED


async def test_a_scheduled_job_holds_its_name_also_once_it_is_due(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    await accepted(store, named("a", after=store_harness.ttl, ordered=True))
    await keeps(store, "a", named("b"))
    await store_harness.elapse(store_harness.ttl * 1.2)
    (entry,) = await store.release_due(limit=10)
    await keeps(store, "a", named("b"))
    await opened(store, entry.envelope)
    await accepted(store, named("b"))


async def test_a_name_is_one_of_its_type_and_compared_byte_for_byte(store: FullStore) -> None:
    names = [
        NAME,
        "Report:acme",
        "report:acme ",
        "r\u00e9port",
        "re\u0301port",
        "\U0001f600",
        "x" * 512,
        "%",
        "[]",
        "*",
    ]
    for place, name in enumerate(names):
        await accepted(store, named(f"j{place}", name))
    for place, name in enumerate(names):
        await keeps(store, f"j{place}", named("again", name))
    await accepted(store, named("other", type="u"))
    await keeps(store, "other", named("again", type="u"))


async def test_a_key_is_no_part_of_a_name(store: FullStore) -> None:
    await accepted(store, named("a", key="k"))
    await keeps(store, "a", named("b", key="other"))
    await keeps(store, "a", named("b", key=None))


# ---- the same job again ------------------------------------------------------------------------------------------


async def test_the_same_id_again_is_known_whatever_has_become_of_its_name(store: FullStore) -> None:
    await accepted(store, named("a"))
    assert isinstance(await asked(store, named("a")), Known)
    assert isinstance(await asked(store, named("a", replace=True)), Known)
    assert isinstance(await asked(store, named("a", body=b"[]")), Conflict)
    await replaces(store, "a", named("b", replace=True))
    assert isinstance(await asked(store, named("a", replace=True)), Known)
    assert isinstance(await asked(store, named("b", replace=True)), Known)
    await keeps(store, "b", named("c"))


# ---- replacing ---------------------------------------------------------------------------------------------------


async def test_what_has_not_begun_is_replaced_as_a_whole(store: FullStore) -> None:
    first = await accepted(store, named("a", body=b"1"))
    answer = await replaces(store, "a", named("b", body=b"2", replace=True, after=LONG))
    assert answer.due is not None
    assert await store.outbox(older_than=-1, limit=10) == []
    counts = await store.counts()
    assert (counts.jobs[JobState.QUEUED], counts.jobs[JobState.SCHEDULED], counts.jobs[JobState.CANCELLED]) == (0, 1, 1)
    # The message of the first may be on its way, or come out of a broker's queue at any time.
    assert await ended_as(store, first) == "cancelled"
    assert isinstance(await store.commit(first, fence(), Effects()), Duplicate)
    now = await replaces(store, "b", named("c", body=b"3", replace=True))
    assert now.position is not None
    (entry,) = await store.outbox(older_than=-1, limit=10)
    assert (entry.envelope.id, entry.envelope.body) == ("c", b"3")
    assert await ended_as(store, first) == "cancelled"
    await committed(store, now.envelope)


async def test_on_an_ordered_key_the_one_that_is_replaced_gives_up_its_turn(store: FullStore) -> None:
    await accepted(store, named("a", ordered=True))
    behind = await submitted(store, "behind")
    answer = await replaces(store, "a", named("b", ordered=True, replace=True))
    assert answer.envelope.sequence == 3
    await committed(store, behind)
    await committed(store, answer.envelope)


async def test_where_the_one_that_waited_has_begun_replacing_it_is_accepting_another(store: FullStore) -> None:
    first = await accepted(store, named("a"))
    under = await opened(store, first)
    await accepted(store, named("b", replace=True))
    await replaces(store, "b", named("c", replace=True))
    await store.commit(first, under, Effects())
    record = await store.job("a")
    assert record
    assert record.state is JobState.COMMITTED


async def test_what_has_begun_and_holds_its_name_is_not_replaced(store: FullStore) -> None:
    first = await accepted(store, named("a", while_="unfinished"))
    under = await opened(store, first)
    await keeps(store, "a", named("b", replace=True))
    await store.fail(first, under, failure(1), retry_in=LONG)
    await keeps(store, "a", named("b", replace=True))
    waiting = await accepted(store, named("w", "another", while_="unfinished"))
    await store.snooze(waiting, await opened(store, waiting), after=LONG)
    await keeps(store, "w", named("b", "another", replace=True))
    await accepted(store, named("x", "not begun", while_="unfinished"))
    await replaces(store, "x", named("y", "not begun", while_="unfinished", replace=True))


async def test_an_expiry_is_that_of_the_one_that_replaces(store: FullStore, store_harness: Harness[FullStore]) -> None:
    await accepted(store, named("a", expires_after=store_harness.ttl))
    await replaces(store, "a", named("b", replace=True))
    await store_harness.elapse(store_harness.ttl * 1.2)
    assert await store.expire_due(limit=10) == []
    await keeps(store, "b", named("c"))


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


# ---- dead letters, retention, other ways in ----------------------------------------------------------------------


async def test_a_dead_letter_that_is_requeued_holds_its_name_again(store: FullStore) -> None:
    number = await buried(store, await accepted(store, named("a")))
    assert await store.requeue_dead(number)
    await keeps(store, "a", named("b"))
    answer = await replaces(store, "a", named("c", replace=True))
    await opened(store, answer.envelope)


async def test_a_dead_letter_is_not_requeued_while_another_job_holds_its_name(store: FullStore) -> None:
    number = await buried(store, await accepted(store, named("a")))
    second = await accepted(store, named("b"))
    before = await store.counts()
    with pytest.raises(UniqueNameTaken, match="job b holds its unique name 'report:acme'") as taken:
        await store.requeue_dead(number)
    assert taken.value.holder == "b"
    assert await store.counts() == before
    await opened(store, second)
    assert await store.requeue_dead(number)
    await keeps(store, "a", named("c"))


async def test_a_letter_whose_job_the_store_never_knew_has_no_name(store: FullStore) -> None:
    await store.bury_message(b"{}", envelope("foreign"), reason="invalid")
    (letter,) = await store.dead()
    await accepted(store, named("a"))
    assert await store.requeue_dead(letter.number)


async def test_a_name_outlives_the_row_of_a_job_that_had_it(store: FullStore) -> None:
    first = await accepted(store, named("a"))
    await committed(store, first)
    await accepted(store, named("b"))
    assert await store.prune(older_than=-1, keep_at_most=0) == 1
    await keeps(store, "b", named("c"))
    # The id of one that is forgotten may come back, as any job's.
    (answer,) = await store.submit([NewJob(envelope("a", body=b"[]"), False)])
    assert isinstance(answer, Accepted)
    await keeps(store, "b", named("c"))
    await store.cancel(["b"], by="me", reason="")
    await accepted(store, named("c"))


async def test_a_message_of_a_lost_moment_has_no_name(store: FullStore) -> None:
    # What a failover of the store lost comes back by its message, which does not tell of names.
    await opened(store, envelope("lost"))
    await accepted(store, named("a"))
    await keeps(store, "a", named("b"))
