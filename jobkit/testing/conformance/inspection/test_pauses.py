"""What is paused: kept once for each scope, told to whoever asks, and gone only when it is resumed."""

from __future__ import annotations

import pytest

from jobkit.model.pause import Pause, Scope
from jobkit.ports.rules import NOTE_CHARACTERS, PAUSES_AT_MOST
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.values import unordered

SCOPES = [Scope("a"), Scope("a", partition=0), Scope("a", partition=11), Scope("a", key="0"), Scope("a b", key="é:/-1")]


async def test_what_is_paused_is_told_by_every_process_until_it_is_resumed(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    assert await store.pauses() == []
    made = [await store.pause(scope, by="ann@host", reason=f"why {scope}") for scope in reversed(SCOPES)]
    assert [(pause.scope, pause.by, pause.reason) for pause in made] == [
        (scope, "ann@host", f"why {scope}") for scope in reversed(SCOPES)
    ]
    async with store_harness.process() as other:
        found = await other.pauses()
        assert set(found) == set(made)
        assert [pause.scope.type for pause in found] == ["a"] * 4 + ["a b"]
        assert found[0].scope == Scope("a")
        for pause in made:
            assert await other.resume(pause.scope) == pause
            assert await store.resume(pause.scope) is None
            assert pause not in await store.pauses()
    assert await store.pauses() == []


async def test_what_is_paused_stays_as_it_was_paused_first(store: FullStore, store_harness: Harness[FullStore]) -> None:
    first = await store.pause(Scope("a", key="k"), by="ann", reason="first")
    await store_harness.elapse(5)
    assert await store.pause(Scope("a", key="k"), by="bob", reason="second") == first
    assert await store.pauses() == [first]
    other = await store.pause(Scope("a"), by="bob", reason="")
    assert await store.resume(Scope("a")) == other
    assert await store.pauses() == [first]


async def test_what_a_person_says_is_kept_as_it_can_be(store: FullStore) -> None:
    said = await store.pause(Scope("a"), by="ann\0", reason="\ud800" + "x" * 2 * NOTE_CHARACTERS)
    assert said.by == "ann\\x00"
    assert said.reason == "\\ud800" + "x" * (NOTE_CHARACTERS - 1)
    assert await store.pauses() == [said]


async def test_no_more_is_paused_than_every_worker_can_keep_in_mind(store: FullStore) -> None:
    scopes = [Scope("a", key=f"k{number}") for number in range(PAUSES_AT_MOST)]
    for scope in scopes:
        await store.pause(scope, by="ann", reason="")
    with pytest.raises(ValueError, match="paused already"):
        await store.pause(Scope("a"), by="ann", reason="")
    assert len(await store.pauses()) == PAUSES_AT_MOST
    # What is there already needs no more room.
    assert (await store.pause(scopes[0], by="bob", reason="")).by == "ann"
    await store.resume(scopes[0])
    assert (await store.pause(Scope("a"), by="ann", reason="")).scope == Scope("a")


async def test_a_pause_takes_nothing_and_ends_nothing(store: FullStore) -> None:
    """Jobs of what is paused are accepted and cancelled as ever: it is for workers to begin none."""
    pause = await store.pause(Scope("step"), by="ann", reason="")
    await unordered(store, "x", type="step")
    assert (await store.cancel(["x"], by="ann", reason=""))[0].cancelled
    assert await store.pauses() == [pause]


def test_a_scope_names_a_partition_or_a_key() -> None:
    with pytest.raises(ValueError, match="the one or the other"):
        Scope("a", partition=1, key="k")
    assert isinstance(Pause(Scope("a"), "ann", "", 0.0), Pause)
