"""Unique names: one job at a time holds one, from when it is accepted until it begins, or until it has ended."""

from __future__ import annotations

import pytest

from jobkit.errors import UniqueNameTaken
from jobkit.model.partition import Partition
from jobkit.model.unique import While
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Accepted, Conflict, Duplicate, Effects, Kept, Known, NewJob
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.store.naming import LONG, NAME, accepted, asked, ended_as, keeps, named, replaces
from jobkit.testing.conformance.values import buried, committed, envelope, failure, fence, opened, submitted

HERE = Partition("t", 0)


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
