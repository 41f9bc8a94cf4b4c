"""The audit log: what people did is there for whoever looks, the latest first, and never grows without bound."""

from __future__ import annotations

from jobkit.ports.audit import Action
from jobkit.ports.rules import NOTE_CHARACTERS
from jobkit.testing.conformance.harness import FullStore, Harness


async def noted(store: FullStore, what: str) -> Action:
    return await store.note_action(by="ann@host", what=what, subject="job x", detail="why")


async def test_what_people_did_is_told_by_every_process(store: FullStore, store_harness: Harness[FullStore]) -> None:
    assert await store.actions() == []
    first, second = await noted(store, "cancel"), await noted(store, "pause")
    assert (first.by, first.what, first.subject, first.detail) == ("ann@host", "cancel", "job x", "why")
    assert first.number < second.number
    assert 0 < first.at <= second.at
    async with store_harness.process() as other:
        assert list(await other.actions()) == [second, first]


async def test_actions_are_listed_in_pages(store: FullStore) -> None:
    made = [await noted(store, f"action {number}") for number in range(5)]
    made.reverse()
    assert list(await store.actions(limit=2)) == made[:2]
    assert list(await store.actions(below=made[1].number, limit=2)) == made[2:4]
    assert list(await store.actions(below=made[3].number)) == made[4:]
    assert list(await store.actions(below=made[4].number)) == []


async def test_only_the_latest_are_kept(store: FullStore) -> None:
    made = [await store.note_action(by="ann", what=f"action {number}", subject="job x", keep=3) for number in range(5)]
    assert list(await store.actions(limit=10)) == [made[4], made[3], made[2]]


async def test_what_is_said_is_kept_as_it_can_be(store: FullStore) -> None:
    long = "x" * 2 * NOTE_CHARACTERS
    said = await store.note_action(by="ann\0", what="cancel", subject="\ud800", detail=long)
    assert (said.by, said.subject, said.detail) == ("ann\\x00", "\\ud800", long[:NOTE_CHARACTERS])
    assert list(await store.actions()) == [said]
