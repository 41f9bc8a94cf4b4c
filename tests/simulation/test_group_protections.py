"""What has a group end once its last member has, and as its author says: each part of it is needed."""

from __future__ import annotations

from typing import Any

import pytest

from jobkit.backends.sqlite import job_groups
from jobkit.backends.sqlite.transaction import Transaction
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


MUTATIONS = (
    Mutation("groups settled one member early", settled_one_member_early, ("groups",), FANNING_OUT, seed=3),
    Mutation("dead members not counted", dead_members_not_counted, ("progress", "nothing-lost"), FANNING_OUT),
    Mutation(
        "cancelled members not counted",
        cancelled_members_not_counted,
        ("progress", "nothing-lost"),
        FANNING_OUT,
        seed=13,
    ),
    Mutation("groups that failed run", groups_that_failed_run, ("nothing-lost",), FANNING_OUT),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_without_a_protection_some_schedule_breaks_an_invariant(mutation: Mutation, monkeypatch: Patch) -> None:
    assert_needed(mutation, monkeypatch)
