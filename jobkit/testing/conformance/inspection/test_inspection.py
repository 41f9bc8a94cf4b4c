"""What people see of a store, and the dead letters they can act on."""

from __future__ import annotations

import pytest

from jobkit.ports.inspection import STATES_AT_ONCE, JobState
from jobkit.ports.store import Effects, LogEntry, Opened, Refused
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.values import buried, committed, envelope, failure, fence, opened, submitted, unordered


async def test_a_job_is_shown_with_all_that_is_known_of_it(store: FullStore) -> None:
    job = await submitted(store, "a")
    queued = await store.job("a")
    assert queued
    assert (queued.id, queued.type, queued.key, queued.sequence) == ("a", "t", "k", 1)
    assert (queued.state, queued.owner, queued.token, queued.opens) == (JobState.QUEUED, None, None, 0)
    assert (queued.failures, queued.progress, queued.message, queued.result) == ((), 0.0, "", None)
    assert (queued.submitted_at, queued.started_at, queued.finished_at) == (job.submitted_at, None, None)
    await committed(store, job, Effects(result=b"[1]"), fence(9, "n", "me"))
    done = await store.job("a")
    assert done
    assert (done.state, done.owner, done.token, done.opens, done.result) == (JobState.COMMITTED, "me", 9, 1, b"[1]")
    assert done.started_at
    assert done.finished_at
    assert done.started_at <= done.finished_at


async def test_an_unknown_job_is_none(store: FullStore) -> None:
    assert await store.job("nosuch") is None
    assert await store.key("t", "nosuch") is None
    assert await store.dead_letter(1) is None


async def test_the_states_of_many_jobs_are_told_at_once(store: FullStore) -> None:
    for id in ("a", "b", "c", "d"):
        await unordered(store, id, key=id)
    await committed(store, envelope("a", key="a"))
    await opened(store, envelope("b", key="b"))
    await buried(store, envelope("c", key="c"))
    found = await store.states(["d", "nosuch", "c", "b", "a"])
    expected = {"a": JobState.COMMITTED, "b": JobState.RUNNING, "c": JobState.DEAD, "d": JobState.QUEUED}
    assert found == expected
    assert await store.states([]) == {}
    whole = await store.records(["d", "nosuch", "c", "c", "b", "a"])
    assert whole == {id: await store.job(id) for id in ("a", "b", "c", "d")}
    assert {id: job.state for id, job in whole.items()} == expected
    assert await store.records([]) == {}
    assert set(await store.records(["a", *(f"nosuch-{n}" for n in range(1, STATES_AT_ONCE))])) == {"a"}
    assert await store.states(["a", *(f"nosuch-{n}" for n in range(1, STATES_AT_ONCE))]) == {"a": JobState.COMMITTED}


async def test_what_runs_is_found_by_its_key(store: FullStore) -> None:
    for id, key, type in (("a", "k", "t"), ("b", "l", "t"), ("c", "k", "u"), ("d", "m", "t")):
        await unordered(store, id, key=key, type=type)
        await unordered(store, f"{id}2", key=key, type=type)
    later = await submitted(store, "o1", key="n"), await submitted(store, "o2", key="n")
    for job in (envelope("a"), envelope("b", key="l"), envelope("c", type="u"), later[0]):
        await opened(store, job)
    await committed(store, envelope("b", key="l"))

    async def running(*keys: tuple[str, str]) -> set[str]:
        return {job.id for job in await store.running(keys)}

    assert await running(("t", "k"), ("t", "l"), ("t", "m"), ("t", "n"), ("t", "nosuch")) == {"a", "o1"}
    assert await running(("u", "k")) == {"c"}
    assert await running() == set()


async def test_the_letters_of_a_job_are_found_by_its_id(store: FullStore) -> None:
    numbers = [await buried(store, await unordered(store, id, key=id)) for id in ("a", "b")]
    await store.bury_message(b"{}", envelope("a", key="other"), reason="conflict")
    await store.bury_message(b"?", None, reason="nobody's")

    async def found(id: str) -> list[tuple[int, str]]:
        return [(letter.number, letter.reason) for letter in await store.letters(id)]

    first, second = await found("a")
    assert first == (numbers[0], "hopeless")
    assert second[1] == "conflict"
    assert await found("b") == [(numbers[1], "hopeless")]
    assert await found("nosuch") == []
    assert [letter.number for letter in await store.letters("a", limit=1)] == [numbers[0]]
    assert await store.purge_dead(second[0])
    assert await store.requeue_dead(numbers[1])
    assert (await found("a"), await found("b")) == ([first], [])


async def test_jobs_are_listed_latest_first_and_filtered(store: FullStore) -> None:
    for id, key, type in (("a", "k", "t"), ("b", "l", "t"), ("c", "k", "u"), ("d", "k", "t")):
        await unordered(store, id, key=key, type=type)
    await committed(store, envelope("a"))
    await opened(store, envelope("d"))
    await buried(store, envelope("c", type="u"))

    async def listed(**filters: object) -> str:
        return "".join(job.id for job in await store.jobs(**filters))  # type: ignore[arg-type]

    assert await listed() == "dcba"
    assert await listed(limit=2) == "dc"
    assert await listed(type="t") == "dba"
    assert await listed(key="k") == "dca"
    assert await listed(type="t", key="k") == "da"
    assert await listed(state=JobState.COMMITTED) == "a"
    assert await listed(state=JobState.RUNNING) == "d"
    assert await listed(state=JobState.DEAD) == "c"
    assert await listed(state=JobState.QUEUED, type="t") == "b"
    assert await listed(state=JobState.PARKED) == ""
    assert await listed(before="d") == "cba"
    assert await listed(before="c", limit=1) == "b"
    assert await listed(before="d", type="t") == "ba"
    assert await listed(before="d", state=JobState.QUEUED) == "b"
    assert await listed(before="a") == ""
    assert await listed(before="nosuch") == ""


async def test_the_envelope_of_a_job_is_there_until_it_has_ended(store: FullStore) -> None:
    job = await submitted(store, "a", body=b'{"n": 1}')
    assert await store.envelope("a") == job
    assert (await store.envelope("a") or job).body == b'{"n": 1}'
    await unordered(store, "b", key="other")
    assert await store.envelope("b") == envelope("b", key="other")
    await committed(store, job)
    assert await store.envelope("a") is None
    assert await store.envelope("nosuch") is None


async def test_counts_follow_every_change(store: FullStore) -> None:
    async def counts() -> tuple[dict[str, int], int, int, int, int]:
        found = await store.counts()
        assert set(found.jobs) == set(JobState)
        return {s.value: n for s, n in found.jobs.items() if n}, found.outbox, found.parked, found.dead, found.keys

    assert await counts() == ({}, 0, 0, 0, 0)
    a, b = await submitted(store, "a"), await submitted(store, "b")
    assert await counts() == ({"queued": 2}, 2, 0, 0, 1)
    await store.open(b, fence())
    await store.park(b, reason="gap")
    under = await opened(store, a)
    assert await counts() == ({"running": 1, "parked": 1}, 1, 1, 0, 1)
    await store.bury(a, under, reason="hopeless")
    assert await counts() == ({"dead": 1, "parked": 1}, 0, 1, 1, 1)
    await store.skip_gap("t", "k", before=2)
    await committed(store, b)
    assert await counts() == ({"dead": 1, "committed": 1}, 0, 0, 1, 1)
    await store.requeue_dead(1)
    assert await counts() == ({"queued": 1, "committed": 1}, 1, 0, 0, 1)
    await store.published([entry.position for entry in await store.outbox(older_than=-1, limit=10)])
    assert await counts() == ({"queued": 1, "committed": 1}, 0, 0, 0, 1)


async def test_dead_letters_are_listed_by_number_type_and_page(store: FullStore) -> None:
    for id, type in (("a", "t"), ("b", "u"), ("c", "t")):
        await buried(store, await unordered(store, id, type=type))
    await store.bury_message(b"?", None, reason="malformed")
    letters = await store.dead()
    assert [letter.id for letter in letters] == ["a", "b", "c", None]
    assert [letter.number for letter in letters] == sorted({letter.number for letter in letters})
    assert [letter.id for letter in await store.dead(type="t")] == ["a", "c"]
    assert [letter.id for letter in await store.dead(limit=2)] == ["a", "b"]
    assert [letter.id for letter in await store.dead(after=letters[1].number)] == ["c", None]


async def test_requeueing_restores_the_very_same_job_with_a_fresh_count_of_attempts(store: FullStore) -> None:
    job = await submitted(store, "a", body=b'{"x": "\xfe"}')
    await store.published([entry.position for entry in await store.outbox(older_than=-1, limit=10)])
    under = await opened(store, job)
    await store.fail(job, under, failure(1))
    await store.bury(job, under, reason="hopeless")
    (letter,) = await store.dead()
    assert await store.requeue_dead(letter.number) == job
    assert await store.dead() == []
    assert [entry.envelope for entry in await store.outbox(older_than=-1, limit=10)] == [job]
    record = await store.job("a")
    assert record
    assert (record.state, record.opens, record.failures, record.finished_at) == (JobState.QUEUED, 0, (), None)
    under = fence()
    assert await store.open(job, under) == Opened(1, (), 0)
    assert await store.fail(job, under, failure(1)) == 1
    assert isinstance(await store.open(job, fence()), Opened)
    await committed(store, job)


async def test_a_requeued_job_counts_its_opens_afresh_even_under_the_fence_it_died_under(store: FullStore) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    await store.bury(job, under, reason="hopeless")
    (letter,) = await store.dead()
    await store.requeue_dead(letter.number)
    assert await store.open(job, under) == Opened(1, (), 0)


async def test_a_requeued_job_cannot_be_committed_before_it_was_opened_again(store: FullStore) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    await store.bury(job, under, reason="hopeless")
    (letter,) = await store.dead()
    await store.requeue_dead(letter.number)
    assert isinstance(await store.commit(job, under, Effects()), Refused)
    record = await store.job("a")
    assert record
    assert (record.state, record.owner, record.token) == (JobState.QUEUED, None, None)


async def test_requeueing_what_is_not_there_or_could_not_run_returns_none(store: FullStore) -> None:
    await store.bury_message(b"garbage", None, reason="malformed")
    (letter,) = await store.dead()
    assert await store.requeue_dead(letter.number) is None
    assert await store.requeue_dead(letter.number + 1) is None
    assert await store.dead() == [letter]
    assert (await store.counts()).outbox == 0


async def test_a_buried_message_with_an_envelope_can_be_requeued_as_it_was(store: FullStore) -> None:
    job = envelope("a", type="unheard-of")
    await store.bury_message(job.pack(), job, reason="unknown type")
    (letter,) = await store.dead()
    assert await store.requeue_dead(letter.number) == job
    assert [entry.envelope for entry in await store.outbox(older_than=-1, limit=10)] == [job]
    record = await store.job("a")
    assert record
    assert record.state is JobState.QUEUED
    # It dies again: then there is a letter again.
    await store.bury_message(job.pack(), job, reason="unknown type")
    assert len(await store.dead()) == 1


async def test_requeueing_a_conflicting_message_leaves_the_job_of_that_id_alone(store: FullStore) -> None:
    await buried(store, await submitted(store, "a"))
    other = envelope("a", body=b'"other"')
    await store.bury_message(other.pack(), other, reason="conflict")
    before = await store.job("a")
    letters = await store.dead()
    assert await store.requeue_dead(letters[1].number) is None
    assert (await store.job("a"), await store.dead()) == (before, letters)


async def test_purging_deletes_the_letter_and_keeps_the_id_known(store: FullStore) -> None:
    job = await unordered(store, "a")
    number = await buried(store, job)
    assert await store.purge_dead(number)
    assert not await store.purge_dead(number)
    assert await store.dead_letter(number) is None
    record = await store.job("a")
    assert record
    assert record.state is JobState.DEAD
    assert not isinstance(await store.open(job, fence()), Opened)


async def test_the_number_of_a_purged_letter_is_not_used_again(store: FullStore) -> None:
    first = await buried(store, await unordered(store, "a"))
    await store.purge_dead(first)
    assert await buried(store, await unordered(store, "b")) > first


async def test_keys_are_paged_in_order_of_type_and_key(store: FullStore) -> None:
    names = [("t", "a"), ("t", "a/b"), ("t", "é"), ("t", "😀"), ("u", ""), ("u", "A")]
    for number, (type, key) in enumerate(reversed(names)):
        await store.open(envelope(f"j{number}", type=type, key=key), fence(number + 1))
    assert [(key.type, key.key) for key in await store.keys()] == names
    paged: list[tuple[str, str]] = []
    while page := await store.keys(after=paged[-1] if paged else ("", ""), limit=2):
        paged += [(key.type, key.key) for key in page]
    assert paged == names


async def test_a_key_tells_its_mark_and_sequences(store: FullStore) -> None:
    a, _ = await submitted(store, "a"), await submitted(store, "b")
    await committed(store, a, Effects(entries=[LogEntry("x", b"1")]), fence(7, "n7", "me"))
    key = await store.key("t", "k")
    assert key
    assert (key.token, key.nonce, key.owner) == (7, "n7", "me")
    assert (key.submitted_sequence, key.committed_sequence, key.log_length, key.manifest) == (2, 1, 1, ())
    assert await store.keys() == [key]


async def test_a_log_entry_tells_which_job_wrote_it_under_which_token(store: FullStore) -> None:
    await committed(store, await submitted(store, "a"), Effects(entries=[LogEntry("x", b"1")]), fence(7))
    await committed(store, await unordered(store, "b"), Effects(entries=[LogEntry("y", b"2")]), fence(8))
    first, second = await store.log("t", "k")
    assert (first.job_id, first.sequence, first.token) == ("a", 1, 7)
    assert (second.job_id, second.sequence, second.token) == ("b", None, 8)
    assert first.at <= second.at
    assert await store.log("t", "nosuch") == []


@pytest.mark.parametrize("name", ["", "a/b", "ü\n", "x" * 300])
async def test_records_take_any_name(store: FullStore, store_harness: Harness[FullStore], name: str) -> None:
    await committed(store, await unordered(store, "a"), Effects(records={name: b'"v"'}))
    assert await store.record("t", "k", name) == b'"v"'
