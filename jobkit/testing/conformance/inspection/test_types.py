"""Published types: kept once for each name, as they were published last, and told to every process."""

from __future__ import annotations

from jobkit.ports.types import PublishedType
from jobkit.testing.conformance.harness import FullStore, Harness

ODD = bytes(range(256))


def _named(types: object) -> dict[str, bytes]:
    assert isinstance(types, list | tuple)
    return {type.name: type.definition for type in types}


async def test_what_is_published_is_told_by_every_process(store: FullStore, store_harness: Harness[FullStore]) -> None:
    assert await store.types() == []
    await store.save_types([PublishedType("b.x", b"{}"), PublishedType("a", ODD)])
    async with store_harness.process() as other:
        found = await other.types()
        assert [(type.name, type.definition) for type in found] == [("a", ODD), ("b.x", b"{}")]
        now = await other.wall_time()
        assert all(0 <= now - type.published_at < 60 for type in found)
        assert _named(await other.types(["b.x", "missing"])) == {"b.x": b"{}"}
        assert await other.types([]) == []


async def test_the_latest_that_was_published_counts_and_nothing_grows(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    await store.save_types([PublishedType("a", b"1"), PublishedType("b", b"1")])
    (first, kept) = await store.types()
    await store_harness.elapse(5)
    for definition in (b"2", b"3", b"3"):
        await store.save_types([PublishedType("a", definition)])
    (latest, other) = await store.types()
    assert (latest.name, latest.definition) == ("a", b"3")
    assert latest.published_at >= first.published_at
    assert other == kept


async def test_publishing_nothing_changes_nothing(store: FullStore) -> None:
    await store.save_types([])
    await store.save_types([PublishedType("a", b"1"), PublishedType("a", b"2")])
    assert _named(await store.types()) == {"a": b"2"}
