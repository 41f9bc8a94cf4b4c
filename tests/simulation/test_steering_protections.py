"""What makes it true what people are told, and has jobs begin when they are to: each part of it is needed."""

from __future__ import annotations

from typing import Any

import pytest

from jobkit.backends.sqlite import cancel, commit, given_up_sequences, schema, unique
from jobkit.backends.sqlite import open as opening
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.ports.store import Effects
from jobkit.runner.lane import Lane
from jobkit.runner.pauses import Pauses
from simulation.protection import Mutation, Patch, assert_needed
from simulation.schedule import Schedule

# Much that is cancelled, and much of it while it runs.
CANCELLING = Schedule(cancels=0.5, long_jobs=0.5)

# Many loose jobs, many of which are given another priority while they wait.
REPRIORITIZING = Schedule(jobs=60, every=10.0, storm=30.0, reprioritized=0.9)

# Much that is paused, on a network that is well.
PAUSING = Schedule(troubles=(("pause work", 3), ("restart", 1)), every=2.0, heard_within=3.0)


def cancelled_ids_forgotten(patch: Patch) -> None:
    """`commit` does not look whether the job was cancelled meanwhile."""
    verified = commit.commit_job

    def commit_job(transaction: Transaction, envelope: Envelope, fence: Fence, effects: Effects) -> Any:
        row = transaction.execute(
            "UPDATE jobs SET state = 'running' WHERE id = ? AND state = 'cancelled' AND token = ? AND nonce = ? "
            "RETURNING sequence",
            (envelope.id, fence.token, fence.nonce),
        ).fetchone()
        if row is not None and row[0] is not None:
            transaction.execute(
                "UPDATE keys SET committed = ? WHERE type = ? AND key = ?", (row[0] - 1, envelope.type, envelope.key)
            )
        return verified(transaction, envelope, fence, effects)

    patch.setattr(commit, "commit_job", commit_job)


def cancelled_turns_kept(patch: Patch) -> None:
    """A job that is cancelled does not give up its turn."""
    patch.setattr(given_up_sequences, "give_up", lambda *_: 0)


def messages_of_another_priority_good(patch: Patch) -> None:
    """Whatever message of a job comes first begins it, though its priority was changed since."""
    asking = opening.open_job

    def open_job(transaction: Transaction, envelope: Envelope, fence: Fence) -> Any:
        transaction.execute("UPDATE jobs SET priority = NULL WHERE id = ?", (envelope.id,))
        return asking(transaction, envelope, fence)

    patch.setattr(opening, "open_job", open_job)


def names_held_by_many(patch: Patch) -> None:
    """Nobody looks whether a unique name is held, and no index refuses it."""
    patch.setattr(unique, "holder_of", lambda *_: None)
    patch.setattr(schema, "_STORE", [line for line in schema._STORE if "jobs_unique" not in line])


def replaced_jobs_go_on(patch: Patch) -> None:
    """A job that is replaced gives up its name, and nothing else."""

    def make_way(transaction: Transaction, id: str, successor: str) -> None:
        transaction.execute("UPDATE jobs SET unique_name = NULL WHERE id = ?", (id,))

    patch.setattr(cancel, "make_way", make_way)


def pauses_not_heard_of(patch: Patch) -> None:
    """A worker looks for pauses as it starts, and no more."""
    looking = Pauses.look

    async def look(self: Pauses) -> None:
        if not self.__dict__.get("looked"):
            self.__dict__["looked"] = True
            await looking(self)
        else:
            await self._store.pauses()

    patch.setattr(Pauses, "look", look)


def pauses_not_heeded(patch: Patch) -> None:
    """A worker knows of pauses, and takes up paused work all the same."""
    patch.setattr(Pauses, "hold", lambda *_: False)
    patch.setattr(Pauses, "keys", lambda *_: frozenset())


def paused_attempts_go_on_failing(patch: Patch) -> None:
    """What is stopped waits for its next attempt in its place, and makes it."""

    def set_working(self: Lane, working: bool) -> None:
        self.working = working

    patch.setattr(Lane, "_set_working", set_working)


MUTATIONS = (
    Mutation("cancelled ids forgotten", cancelled_ids_forgotten, ("cancelled",), CANCELLING, seed=14),
    Mutation("cancelled turns kept", cancelled_turns_kept, ("progress",), CANCELLING, seed=1),
    Mutation("messages of another priority", messages_of_another_priority_good, ("priority",), REPRIORITIZING, seed=6),
    Mutation("names held by many", names_held_by_many, ("unique",), seed=6),
    Mutation("replaced jobs go on", replaced_jobs_go_on, ("unique",), seed=1),
    Mutation("pauses not heard of", pauses_not_heard_of, ("paused",), PAUSING, seed=7),
    Mutation("pauses not heeded", pauses_not_heeded, ("paused",), PAUSING, seed=3),
    Mutation("paused attempts go on failing", paused_attempts_go_on_failing, ("paused",), PAUSING, seed=4),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_without_a_protection_some_schedule_breaks_an_invariant(mutation: Mutation, monkeypatch: Patch) -> None:
    assert_needed(mutation, monkeypatch)
