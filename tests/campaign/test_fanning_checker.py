"""The reader of groups and of kept work turns red for each way to break them, and for nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest

from jobkit.model.job_group import OnFailure
from jobkit.ports.inspection import JobState
from tests.campaign.fanning import Tree
from tests.campaign.fanning_checker import closed_last, effects, ends, kept
from tests.campaign.pieces import Made, Piece

C, D, X, Q = JobState.COMMITTED, JobState.DEAD, JobState.CANCELLED, JobState.SCHEDULED


def tree(on_failure: OnFailure, *pieces: Piece) -> Tree:
    return Tree("t", Piece(on="k", pieces=pieces, on_failure=on_failure), by_client=True)


SOUND, DIES = Piece(on="k"), Piece(on="k", dies=True)
NESTING = Piece(on="k", pieces=(DIES,), on_failure="die")


@pytest.mark.parametrize(
    ("found", "states", "cancelled", "broken"),
    [
        (tree("run", SOUND, DIES), {"t.m0": C, "t.m1": D, "t.then": C}, (), ()),
        (tree("run", SOUND, DIES), {"t.m0": C, "t.m1": D, "t.then": Q}, (), ("t.then",)),
        (tree("die", SOUND, DIES), {"t.m0": C, "t.m1": D, "t.then": D}, (), ()),
        (tree("die", SOUND, DIES), {"t.m0": C, "t.m1": D, "t.then": C}, (), ("t.then",)),
        (tree("wait", SOUND, DIES), {"t.m0": C, "t.m1": C, "t.then": C}, (), ()),
        (tree("wait", SOUND, DIES), {"t.m0": C, "t.m1": D, "t.then": D}, (), ("t.m1", "t.then")),
        (tree("wait", SOUND, SOUND), {"t.m0": X, "t.m1": C, "t.then": D}, ("t.m0",), ()),
        (tree("run", SOUND), {"t.m0": C, "t.then": C}, ("t.then",), ("t.then",)),
        (tree("run", NESTING), {"t.m0": C, "t.m0.m0": D, "t.m0.then": D, "t.then": C}, (), ()),
        (tree("die", NESTING), {"t.m0": C, "t.m0.m0": D, "t.m0.then": D, "t.then": C}, (), ("t.then",)),
        (tree("wait", NESTING), {"t.m0": C, "t.m0.m0": D, "t.m0.then": C, "t.then": C}, (), ()),
        (tree("run", NESTING), {"t.m0": X, "t.then": C}, ("t.m0",), ()),
        (tree("run", NESTING), {"t.m0": X, "t.m0.m0": D, "t.then": C}, ("t.m0",), ("t.m0.m0",)),
    ],
)
def test_each_piece_ends_as_its_group_says(
    found: Tree, states: Mapping[str, JobState], cancelled: Sequence[str], broken: Sequence[str]
) -> None:
    assert sorted(violation.where for violation in ends(found, states, set(cancelled))) == sorted(broken)


def made(**members: JobState) -> Mapping[str, list[Made]]:
    named = {id.replace("_", "."): state.value for id, state in members.items()}
    return {"t.then": [Made(step="s", members=named)]}


@pytest.mark.parametrize(
    ("on_failure", "entries", "broken"),
    [
        ("run", made(t_m0=C, t_m1=D), False),
        ("wait", made(t_m0=C, t_m1=D), True),
        ("run", made(t_m0=C, t_m1=JobState.RUNNING), True),
        ("run", made(t_m0=C), True),
    ],
)
def test_what_closes_a_group_saw_all_of_it_ended(
    on_failure: OnFailure, entries: Mapping[str, list[Made]], broken: bool
) -> None:
    assert bool(list(closed_last(tree(on_failure, SOUND, SOUND), entries))) is broken


def test_what_has_committed_took_effect_once() -> None:
    once = [Made(step="s", members={})]
    assert not list(effects({"a": C, "b": D}, {"a": once}))
    assert len(list(effects({"a": C, "b": D}, {"a": once * 2, "b": once}))) == 2
    assert list(effects({"a": C}, {}))


def lines(*told: tuple[int, str, object]) -> list[str]:
    return [json.dumps({"job": "a", "token": token, "what": what, "value": value}) for token, what, value in told]


@pytest.mark.parametrize(
    ("journal", "broken"),
    [
        (lines((1, "found", 0), (1, "step", "s"), (1, "kept", 1), (2, "found", 1), (2, "step", "s")), False),
        # Kept, and nobody was told of it any more.
        (lines((1, "found", 0), (2, "found", 1)), False),
        (lines((1, "found", 0), (1, "kept", 2), (2, "found", 1)), True),
        # A holder that was taken over was told that its work is kept, after the next one had looked.
        (lines((1, "found", 0), (2, "found", 0), (1, "kept", 1)), True),
        (lines((1, "step", "s"), (2, "step", "other")), True),
        (lines((1, "step", "other")), True),
    ],
)
def test_what_is_kept_is_found(journal: Sequence[str], broken: bool) -> None:
    assert bool(list(kept(journal, {"a": [Made(step="s", members={})]}))) is broken
