"""What makes each accepted job take effect once, and in order: without any of it, some run breaks an invariant."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from jobkit.backends.sqlite import commit, ending, fail
from jobkit.backends.sqlite import open as opening
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.ports.notifier import job_topic
from jobkit.ports.store import Committed, Duplicate, Effects, Failure, Refused
from jobkit.runner.decode import Job
from jobkit.runner.lane import Lane
from jobkit.runner.led_partition import LedPartition
from jobkit.runner.pending_delivery import PendingDelivery
from jobkit.worker.maintenance.republishing import Republisher
from simulation.protection import Mutation, Patch, assert_needed
from simulation.schedule import Schedule

# Writes that come when somebody else has begun, and takes long.
STALE_WRITES = Schedule(troubles=(("late write", 1),), every=2.0, long_jobs=0.7)


def _force_mark(transaction: Transaction, envelope: Envelope, fence: Fence) -> None:
    transaction.execute(
        "UPDATE keys SET token = ?, nonce = ? WHERE type = ? AND key = ?",
        (fence.token, fence.nonce, envelope.type, envelope.key),
    )


def no_fence_check_in_open(patch: Patch) -> None:
    """`open` makes any fence the mark, higher or not."""
    checked = opening.open_job

    def unchecked(transaction: Transaction, envelope: Envelope, fence: Fence) -> Any:
        _force_mark(transaction, envelope, fence)
        return checked(transaction, envelope, fence)

    patch.setattr(opening, "open_job", unchecked)


def commit_without_verify(patch: Patch) -> None:
    """`commit` does not compare the mark."""
    verified = commit.commit_job

    def unverified(
        transaction: Transaction, envelope: Envelope, fence: Fence, effects: Effects
    ) -> Committed | Duplicate | Refused:
        _force_mark(transaction, envelope, fence)
        transaction.execute(
            "UPDATE jobs SET token = ?, nonce = ? WHERE id = ? AND state <> 'committed'",
            (fence.token, fence.nonce, envelope.id),
        )
        return verified(transaction, envelope, fence, effects)

    patch.setattr(commit, "commit_job", unverified)


def no_fence_check_at_all(patch: Patch) -> None:
    """Neither looks."""
    no_fence_check_in_open(patch)
    commit_without_verify(patch)
    patch.setattr(fail, "refusal", lambda *_: None)


def finished_ids_forgotten(patch: Patch) -> None:
    """Nobody asks whether an id is finished already."""
    asking, verified = opening.open_job, commit.commit_job

    def unfinish(transaction: Transaction, envelope: Envelope) -> None:
        row = transaction.execute(
            "UPDATE jobs SET state = 'queued' WHERE id = ? AND state = 'committed' RETURNING sequence", (envelope.id,)
        ).fetchone()
        if row is not None and row[0] is not None:
            transaction.execute(
                "UPDATE keys SET committed = ? WHERE type = ? AND key = ?", (row[0] - 1, envelope.type, envelope.key)
            )

    def open_job(transaction: Transaction, envelope: Envelope, fence: Fence) -> Any:
        unfinish(transaction, envelope)
        return asking(transaction, envelope, fence)

    def commit_job(transaction: Transaction, envelope: Envelope, fence: Fence, effects: Effects) -> Any:
        unfinish(transaction, envelope)
        return verified(transaction, envelope, fence, effects)

    patch.setattr(opening, "open_job", open_job)
    patch.setattr(commit, "commit_job", commit_job)


def gaps_ignored(patch: Patch) -> None:
    """A sequence that is too high is taken for the next one."""
    asking = opening.open_job

    def open_job(transaction: Transaction, envelope: Envelope, fence: Fence) -> Any:
        if envelope.sequence is not None:
            transaction.execute(
                "UPDATE keys SET committed = max(committed, ?) WHERE type = ? AND key = ?",
                (envelope.sequence - 1, envelope.type, envelope.key),
            )
        return asking(transaction, envelope, fence)

    patch.setattr(opening, "open_job", open_job)


def ended_jobs_stay_where_they_were(patch: Patch) -> None:
    """What ends a job leaves its entries to the relay and to the partition's leader, as it once was."""

    def leave(transaction: Transaction, id: str, number: int, entry: int | None) -> None:
        transaction.notify(job_topic(id))

    patch.setattr(ending, "leave", leave)


def nothing_published_again(patch: Patch) -> None:
    """Nobody looks for jobs whose messages are lost."""

    async def watch(self: Republisher, led: LedPartition) -> None:
        await anyio.sleep_forever()

    patch.setattr(Republisher, "watch", watch)


def ack_before_commit(patch: Patch) -> None:
    """A delivery is acked as soon as work on it begins, and nobody misses it."""
    nothing_published_again(patch)
    careful = Lane._take

    async def take(self: Lane, pending: PendingDelivery) -> None:
        if isinstance(pending.job, Job):
            await pending.settle(Receipt(pending.job.envelope.id, "early"))
        await careful(self, pending)

    patch.setattr(Lane, "_take", take)


def delays_kept_by_the_worker(patch: Patch) -> None:
    """The store does not keep when a failed job is due again, so a delay ends with the worker that waits for it."""
    keeping = fail.fail

    def forgetful(
        transaction: Transaction, envelope: Envelope, fence: Fence, failure: Failure, *, retry_in: float
    ) -> int | Refused:
        return keeping(transaction, envelope, fence, failure, retry_in=0.0)

    patch.setattr(fail, "fail", forgetful)


MUTATIONS = (
    Mutation("no fence check in open", no_fence_check_in_open, ("fencing",), seed=6),
    Mutation("commit without verify", commit_without_verify, ("fencing",), STALE_WRITES, seed=3),
    Mutation("no fence check", no_fence_check_at_all, ("fencing",), seed=4),
    Mutation("finished ids forgotten", finished_ids_forgotten, ("single-effect",), seed=6),
    Mutation("gaps ignored", gaps_ignored, ("order",), seed=1),
    Mutation("ended jobs stay where they were", ended_jobs_stay_where_they_were, ("ended",), seed=2),
    Mutation("nothing published again", nothing_published_again, ("nothing-lost",), seed=1),
    Mutation("ack before commit", ack_before_commit, ("nothing-lost",), seed=5),
    Mutation("delays kept by the worker", delays_kept_by_the_worker, ("backoff",), seed=3),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_without_a_protection_some_schedule_breaks_an_invariant(mutation: Mutation, monkeypatch: Patch) -> None:
    assert_needed(mutation, monkeypatch)
