"""What keeps the work of a job, and no longer than until its end: each part of it is needed."""

from __future__ import annotations

import pytest

from jobkit.backends.sqlite import ending, fail
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.plugin.checkpoints import KeptWork
from jobkit.ports.checkpoints import Checkpoint
from jobkit.ports.store import Failure, Refused
from simulation.protection import Mutation, Patch, assert_needed
from simulation.schedule import Schedule

# Jobs that keep what they have done, and workers that stop.
KEEPING = Schedule(
    storm=20.0,
    jobs=8,
    keys=2,
    keeping=1.0,
    long_jobs=0.5,
    unique=0.0,
    ticking=0.0,
    troubles=(("pause at a step", 1), ("crash", 1)),
    every=2.0,
)


def failures_cost_what_is_kept(patch: Patch) -> None:
    """What a job keeps goes with its first failed attempt."""
    keeping = fail.fail

    def forgetful(
        transaction: Transaction, envelope: Envelope, fence: Fence, failure: Failure, *, retry_in: float
    ) -> int | Refused:
        transaction.execute(
            "DELETE FROM checkpoints WHERE job = (SELECT number FROM jobs WHERE id = ?)", (envelope.id,)
        )
        return keeping(transaction, envelope, fence, failure, retry_in=retry_in)

    patch.setattr(fail, "fail", forgetful)


def kept_work_stays_behind(patch: Patch) -> None:
    """What a job keeps does not go with its end."""
    patch.setattr(ending, "drop_checkpoints", lambda *_: None)


def nothing_looked_for(patch: Patch) -> None:
    """An attempt takes it that nothing is kept."""

    async def kept(self: KeptWork, *, again: bool = False) -> dict[str, Checkpoint]:
        self._found = self._found or {}
        return self._found

    patch.setattr(KeptWork, "_kept", kept)


MUTATIONS = (
    Mutation("failures cost what is kept", failures_cost_what_is_kept, ("kept",), KEEPING),
    Mutation("kept work stays behind", kept_work_stays_behind, ("bounded",), KEEPING),
    Mutation("nothing looked for", nothing_looked_for, ("kept",), KEEPING),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_without_a_protection_some_schedule_breaks_an_invariant(mutation: Mutation, monkeypatch: Patch) -> None:
    assert_needed(mutation, monkeypatch)
