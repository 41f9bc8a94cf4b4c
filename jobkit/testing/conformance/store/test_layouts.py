"""How many partitions a type has, changed by compare-and-set, and where the in-flight table puts jobs by it."""

from __future__ import annotations

import asyncio

from jobkit.model.layout import Layout
from jobkit.model.partition import Partition, slot_of
from jobkit.testing.conformance.harness import FullStore
from jobkit.testing.conformance.values import submitted, unordered

TWO = Layout.first(2)


async def test_a_layout_is_set_once_and_replaced_by_who_knows_it(store: FullStore) -> None:
    assert await store.layouts() == {}
    assert await store.set_layout("t", None, TWO)
    assert not await store.set_layout("t", None, Layout.first(8))
    assert await store.layouts() == {"t": TWO}
    changed = TWO.changed(5)
    assert not await store.set_layout("t", Layout.first(8), changed)
    assert await store.set_layout("t", TWO, changed)
    assert not await store.set_layout("t", TWO, TWO.changed(7))
    assert await store.layouts() == {"t": changed}


async def test_types_have_layouts_of_their_own_and_the_largest_comes_back_whole(store: FullStore) -> None:
    large = Layout.first(1024).changed(1).changed(1024)
    assert await store.set_layout("s", None, TWO)
    assert await store.set_layout("t", None, large)
    assert not await store.set_layout("u", TWO, large)
    assert await store.layouts() == {"s": TWO, "t": large}


async def test_of_many_who_change_it_at_once_one_does(store: FullStore) -> None:
    await store.set_layout("t", None, TWO)
    wanted = [TWO.changed(number) for number in range(3, 20)]
    done = await asyncio.gather(*(store.set_layout("t", TWO, one) for one in wanted))
    assert sum(done) == 1
    assert await store.layouts() == {"t": wanted[done.index(True)]}


async def test_a_job_is_shelved_where_its_key_belongs_once_nobody_leads_what_was_named(store: FullStore) -> None:
    job = await submitted(store, "a")
    await store.set_layout("t", None, Layout.first(3))
    await store.shelve(job, Partition("t", 7))
    right = Partition("t", slot_of("k") % 3)
    assert await store.shelved(Partition("t", 7), limit=9) == []
    assert [one.envelope.id for one in await store.shelved(right, limit=9)] == ["a"]
    assert await store.shelved_keys(right, limit=9) == ["k"]


async def test_a_job_is_shelved_where_one_leads_who_has_not_heard_of_a_change(store: FullStore) -> None:
    """Its leader has its key's next one from there."""
    job = await submitted(store, "a")
    layout = Layout.first(8).changed(5)
    await store.set_layout("t", None, layout)
    stale = Partition("t", 7)
    assert layout.partition("t", "k") != stale
    await store.shelve(job, stale)
    assert [one.envelope.id for one in await store.shelved(stale, limit=9)] == ["a"]


async def test_in_flight_jobs_move_with_a_change_and_keep_their_order(store: FullStore) -> None:
    jobs = [await unordered(store, f"{number}") for number in range(4)]
    before, after = Layout.first(8), Layout.first(8).changed(5)
    await store.set_layout("t", None, before)
    old, new = before.partition("t", "k"), after.partition("t", "k")
    assert old != new
    for job in jobs[:3]:
        await store.shelve(job, old)
    shelved = await store.shelved(old, limit=9)
    await store.set_layout("t", before, after)
    # What is behind another one of its key stays with it, and goes when that has gone.
    for job in (jobs[3], jobs[2], jobs[1]):
        await store.shelve(job, new)
    assert await store.shelved(new, limit=9) == []
    assert [one.envelope.id for one in await store.shelved(old, limit=9)] == ["0", "1", "2", "3"]
    for job in (jobs[0], jobs[2], jobs[1], jobs[0]):
        await store.shelve(job, new)
    assert [one.envelope.id for one in await store.shelved(new, limit=9)] == ["0", "1"]
    assert [one.envelope.id for one in await store.shelved(old, limit=9, key="k")] == ["2", "3"]
    for job in jobs:
        await store.shelve(job, new)
    assert await store.shelved(old, limit=9) == []
    assert await store.shelved_keys(old, limit=9) == []
    moved = await store.shelved(new, limit=9)
    assert moved[:3] == shelved
    assert [one.envelope.id for one in moved] == ["0", "1", "2", "3"]
    assert [one.envelope.id for one in await store.shelved(new, limit=9, key="k")] == ["0", "1", "2", "3"]
    assert (await store.counts()).shelved == 4
