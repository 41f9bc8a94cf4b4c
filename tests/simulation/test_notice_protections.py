"""What has an end that somebody wants to hear of told of once, and nothing else: each part of it is needed."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from jobkit.backends.sqlite import cancel, commit, ending, outbox, submit
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.plugin.context import Context
from jobkit.ports.inspection import Cancellation
from jobkit.ports.store import Effects
from simulation.notices import NOTICE
from simulation.protection import Mutation, Patch, assert_needed
from simulation.schedule import Schedule

# Jobs of which somebody is told, of which many are cancelled or expire, and workers that stop.
NOTIFYING = Schedule(
    storm=10.0,
    jobs=12,
    cancels=0.4,
    groups=0.0,
    keeping=0.0,
    ticking=0.0,
    tenanted=0.0,
    notifying=1.0,
    troubles=(("pause at a step", 1), ("late write", 1)),
    every=2.0,
)
# Commits that come when others have taken over, or their jobs were cancelled.
LATE = replace(NOTIFYING, long_jobs=0.7, troubles=(("late write", 1),), every=1.0)


def commits_told_to_no_submitter(patch: Patch) -> None:
    """What a submitter wants told is not among what a job commits."""
    patch.setattr(Context, "_notifications", lambda *_: [])


def commits_told_outside(patch: Patch) -> None:
    """What tells of a commit is accepted whether or not that one is."""
    committing = commit.commit_job

    def commit_job(transaction: Transaction, envelope: Envelope, fence: Fence, effects: Effects) -> object:
        for job in effects.follow_ups:
            if job.envelope.type == NOTICE:
                submit.accept(transaction, job, outbox.UNTOLD)
        return committing(transaction, envelope, fence, effects)

    patch.setattr(commit, "commit_job", commit_job)


def _untold(patch: Patch, state: str) -> None:
    telling = ending.tell

    def tell(transaction: Transaction, kept: str | None, ended: str) -> None:
        if ended != state:
            telling(transaction, kept, ended)

    patch.setattr(ending, "tell", tell)


def deaths_untold(patch: Patch) -> None:
    """Nobody is told of a job that is given up."""
    _untold(patch, "dead")


def cancels_untold(patch: Patch) -> None:
    """Nobody is told of a job that is cancelled."""
    _untold(patch, "cancelled")


def expiries_untold(patch: Patch) -> None:
    """Nobody is told of a job that did not begin in time."""
    _untold(patch, "expired")


def cancels_told_when_asked_for(patch: Patch) -> None:
    """A cancel is told of although the job had ended otherwise."""
    cancelling = cancel.cancel

    def cancel_and_tell(transaction: Transaction, ids: list[str], **options: object) -> list[Cancellation]:
        for id in ids:
            row = transaction.execute("SELECT notices FROM jobs WHERE id = ?", (id,)).fetchone()
            ending.tell(transaction, row and row[0], "cancelled")
        return cancelling(transaction, ids, **options)  # type: ignore[arg-type]  # as they came

    patch.setattr(cancel, "cancel", cancel_and_tell)


MUTATIONS = (
    Mutation("commits told to no submitter", commits_told_to_no_submitter, ("notices",), NOTIFYING),
    Mutation("commits told outside", commits_told_outside, ("notices",), LATE, seed=27),
    Mutation("deaths untold", deaths_untold, ("notices",), NOTIFYING, seed=1),
    Mutation("cancels untold", cancels_untold, ("notices",), NOTIFYING),
    Mutation("expiries untold", expiries_untold, ("notices",), NOTIFYING),
    Mutation("cancels told when asked for", cancels_told_when_asked_for, ("notices",), NOTIFYING, seed=1),
)
# Two that are different in kind; `make campaign` has all of them.
_FEW = MUTATIONS if "CAMPAIGN" in os.environ else [MUTATIONS[1], MUTATIONS[3]]


@pytest.mark.parametrize("mutation", _FEW, ids=lambda mutation: mutation.name)
def test_without_a_protection_some_schedule_breaks_an_invariant(mutation: Mutation, monkeypatch: Patch) -> None:
    assert_needed(mutation, monkeypatch)
