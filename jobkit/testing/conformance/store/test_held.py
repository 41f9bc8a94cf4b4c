"""Held jobs: a part of the in-flight table that nobody leads, for jobs that some worker does not know how to read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobkit.model.envelope import Envelope
from jobkit.model.layout import Layout
from jobkit.model.partition import Partition
from jobkit.ports.store import Committed, NewJob, Opened
from jobkit.runner.unknown_aside import holding, put_aside
from jobkit.testing.conformance.harness import FullStore
from jobkit.testing.conformance.values import NOTHING, envelope, fence, opened, unordered

HELD = holding("t")


async def held(store: FullStore) -> list[Envelope]:
    """Return the envelopes that are held."""
    return [one.envelope for one in await store.shelved(HELD, limit=100)]


async def test_a_held_job_keeps_all_that_its_envelope_says(store: FullStore) -> None:
    later = replace(envelope("a"), version=3, schema=2, extra={"tenant": "x", "of": ["b", 1, None]})
    await store.submit([NewJob(later, ordered=False)])
    for _ in range(2):
        assert (await put_aside(store, store, later)).kind == "shelved"
    assert await held(store) == [later]
    entries = await store.outbox(older_than=-1, limit=10)
    assert [entry.envelope for entry in entries] == [later]


@pytest.mark.parametrize("foreign", [False, True])
async def test_a_held_job_without_a_key_is_what_it_was_and_leaves_nothing_behind(
    store: FullStore, foreign: bool
) -> None:
    job = replace(envelope("a"), key=None)
    if not foreign:
        await store.submit([NewJob(job, ordered=False)])
    await put_aside(store, store, job)
    await put_aside(store, store, job)
    assert await held(store) == [job]
    keyed, under = job.with_key("k"), fence()
    assert isinstance(await store.open(keyed, under), Opened)
    assert isinstance(await store.commit(keyed, under, NOTHING), Committed)
    assert await held(store) == []
    assert (await store.shelved_keys(HELD, limit=10), (await store.counts()).shelved) == ([], 0)
    assert (await put_aside(store, store, job)).kind == "duplicate"


async def test_a_held_job_that_is_foreign_has_no_message_left_to_be_published(store: FullStore) -> None:
    await put_aside(store, store, replace(envelope("a"), key=None))
    assert await store.outbox(older_than=-1, limit=10) == []


async def test_a_held_job_stays_behind_one_of_its_key_that_runs_elsewhere(store: FullStore) -> None:
    first, second = await unordered(store, "a"), await unordered(store, "b")
    await store.shelve(first, Partition("t", 0))
    await put_aside(store, store, second)
    assert await held(store) == []
    under = await opened(store, first)
    await store.commit(first, under, NOTHING)
    await put_aside(store, store, second)
    assert await held(store) == [second]


async def test_a_change_of_partitions_moves_no_held_job(store: FullStore) -> None:
    await store.set_layout("t", None, Layout.first(2))
    job = await unordered(store, "a")
    await put_aside(store, store, job)
    assert await held(store) == [job]


async def test_a_held_job_that_is_buried_is_held_no_more(store: FullStore) -> None:
    job = await unordered(store, "a")
    await put_aside(store, store, job)
    await store.bury_message(job.body, job, reason="unknown payload")
    assert await held(store) == []
    (letter,) = await store.dead()
    requeued = await store.requeue_dead(letter.number)
    assert requeued == job
