"""What has a group end once its last member has, and as its author says: each part of it is needed."""

from __future__ import annotations

from typing import Any

import pytest

from jobkit.backends.sqlite import job_groups
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.job_group import WHEN_RELEASED
from simulation.protection import Mutation, Patch, assert_needed
from simulation.schedule import Schedule

# Jobs most of which make groups, of whose members some are cancelled.
FANNING_OUT = Schedule(groups=0.6, cancels=0.3, unique=0.0, jobs=12, storm=20.0)


def settled_one_member_early(patch: Patch) -> None:
    """A group does not wait for its last member."""
    closing = job_groups._close

    def close(transaction: Transaction, id: str, *args: Any, **kwargs: Any) -> None:
        closing(transaction, id, *args, **kwargs)
        transaction.execute("UPDATE job_groups SET unended = unended - 1 WHERE id = ? AND unended > 1", (id,))

    patch.setattr(job_groups, "_close", close)


def _uncounted(patch: Patch, becomes: str) -> None:
    counting = job_groups.count

    def count(transaction: Transaction, group: str | None, was: str | None, state: str, *source: Any) -> Any:
        return [] if state == becomes else counting(transaction, group, was, state, *source)

    patch.setattr(job_groups, "count", count)


def dead_members_not_counted(patch: Patch) -> None:
    """Whoever dies says nothing to its group."""
    _uncounted(patch, "dead")


def cancelled_members_not_counted(patch: Patch) -> None:
    """Whoever is cancelled says nothing to its group."""
    _uncounted(patch, "cancelled")


def groups_that_failed_run(patch: Patch) -> None:
    """What the author wants done where members fail is not asked."""
    closing = job_groups._close

    def close(transaction: Transaction, id: str, *args: Any, **kwargs: Any) -> None:
        closing(transaction, id, *args, **kwargs)
        transaction.execute("UPDATE job_groups SET on_failure = 'run' WHERE id = ?", (id,))

    patch.setattr(job_groups, "_close", close)


def released_by_a_sweeper(patch: Patch) -> None:
    """Whatever ends the last member notes it, and what closes the group is released when somebody looks."""
    finding, holding = job_groups._THEN, job_groups.release_held

    def release_held(transaction: Transaction, *, limit: int) -> list[Any]:
        settled = [id for (id,) in transaction.execute("SELECT id FROM job_groups WHERE settled").fetchall()]
        rows = [(id, transaction.execute(finding, (id, WHEN_RELEASED)).fetchone()) for id in settled]
        found = [
            job_groups.release(transaction, number, id, ordered, packed, None)
            for id, (number, _, _, ordered, packed) in [(id, row) for id, row in rows if row is not None]
        ]
        return found or holding(transaction, limit=limit)

    patch.setattr(job_groups, "_THEN", f"{finding} AND 0")
    patch.setattr(job_groups, "release_held", release_held)


def inner_groups_forgotten(patch: Patch) -> None:
    """A member that makes a group itself does not hand on its place."""
    closing = job_groups._close

    def close(transaction: Transaction, id: str, *args: Any, **kwargs: Any) -> None:
        transaction.execute("CREATE TEMP TABLE IF NOT EXISTS outer (id, member_of)")
        transaction.execute("INSERT INTO outer SELECT id, member_of FROM jobs WHERE id = ?", args[1:2])
        transaction.execute("UPDATE jobs SET member_of = NULL WHERE id = ?", args[1:2])
        closing(transaction, id, *args, **kwargs)
        transaction.execute(
            "UPDATE jobs SET member_of = (SELECT member_of FROM outer WHERE outer.id = jobs.id) WHERE id = ?", args[1:2]
        )

    patch.setattr(job_groups, "_close", close)


def dead_members_end_what_waits(patch: Patch) -> None:
    """A group does not wait for somebody to look after its dead members."""
    closing = job_groups._close

    def close(transaction: Transaction, id: str, *args: Any, **kwargs: Any) -> None:
        closing(transaction, id, *args, **kwargs)
        transaction.execute("UPDATE job_groups SET on_failure = 'run' WHERE id = ? AND on_failure = 'wait'", (id,))

    patch.setattr(job_groups, "_close", close)


MUTATIONS = (
    Mutation("groups settled one member early", settled_one_member_early, ("groups",), FANNING_OUT, seed=7),
    Mutation("dead members not counted", dead_members_not_counted, ("progress", "nothing-lost"), FANNING_OUT, seed=2),
    Mutation(
        "cancelled members not counted",
        cancelled_members_not_counted,
        ("progress", "nothing-lost"),
        FANNING_OUT,
        seed=2,
    ),
    Mutation("released by a sweeper", released_by_a_sweeper, ("groups",), FANNING_OUT, seed=3),
    Mutation("inner groups forgotten", inner_groups_forgotten, ("groups",), FANNING_OUT, seed=7),
    Mutation("dead members end what waits", dead_members_end_what_waits, ("groups",), FANNING_OUT, seed=7),
    Mutation("groups that failed run", groups_that_failed_run, ("nothing-lost",), FANNING_OUT, seed=2),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_without_a_protection_some_schedule_breaks_an_invariant(mutation: Mutation, monkeypatch: Patch) -> None:
    assert_needed(mutation, monkeypatch)
