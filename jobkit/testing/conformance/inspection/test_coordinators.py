"""By which coordinators the workers on a store go."""

from __future__ import annotations

from jobkit.testing.conformance.harness import FullStore, Harness


async def test_coordinators_are_known_that_were_noted_lately(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    assert await store.coordinators(within=60) == []
    await store.note_coordinator("one")
    await store.note_coordinator("one")
    await store.note_coordinator("other")
    assert await store.coordinators(within=60) == ["one", "other"]
    await store_harness.elapse(40)
    await store.note_coordinator("other")
    await store_harness.elapse(40)
    assert await store.coordinators(within=60) == ["other"]
    assert await store.coordinators(within=3_600) == ["one", "other"]
    await store_harness.elapse(90_000)
    await store.note_coordinator("one")
    assert await store.coordinators(within=1e9) == ["one"]
