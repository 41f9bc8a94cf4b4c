"""Rebuilding projections from the log, while workers run.

A key whose projections are right is left alone, without a lease. One that is not is taken under a lease, like a job's:
so no job runs on it, and whoever was paused on it is refused. What is written is what the log adds up to, and only if
the log has not grown meanwhile. Nothing is ever gone in between: a reader sees the old state, then the new.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any

from jobkit.errors import ProjectionFailed, WaitTimeout
from jobkit.leases import Keeper, Lease
from jobkit.model.clock import Clock
from jobkit.ports.inspection import KeyRecord
from jobkit.ports.planes import Planes
from jobkit.ports.store import Stale
from jobkit.projections.log_reader import all_keys
from jobkit.projections.projection import Projection, ProjectionState
from jobkit.projections.reader import fold


class RebuildOutcome(StrEnum):
    """What became of one projection of one key."""

    SAME = "same"
    DIFFERS = "differs"
    REBUILT = "rebuilt"
    BUSY = "busy"
    FAILED = "failed"


class _Kept(Enum):
    """What a kept state was found to be. `BEHIND`: there is none of this version, or it is of a shorter log."""

    RIGHT = "right"
    BEHIND = "behind"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """One projection of one key; `entries` is how long its log is, `problem` says why it is `FAILED` or `BUSY`."""

    type: str
    key: str
    projection: str
    outcome: RebuildOutcome
    entries: int
    problem: str = ""


class Rebuilder:
    """Compares projections with the logs, and rebuilds those that differ. The keeper must be running.

    `from_start`: believe no snapshot, and add up each log from its first entry, where that is kept.
    `patience`: how long to wait for a key on which a job runs, in seconds.
    """

    def __init__(
        self, planes: Planes, keeper: Keeper, clock: Clock, *, from_start: bool = False, patience: float = 60.0
    ) -> None:
        self._planes = planes
        self._keeper = keeper
        self._clock = clock
        self._from_start = from_start
        self._patience = patience

    async def run(
        self, type: str, projections: Sequence[Projection[Any]], *, key: str | None = None, write: bool = True
    ) -> AsyncIterator[Rebuilt]:
        """Yield what became of each projection of each key of `type`. Without `write`, only compare.

        Raises `Unavailable`.
        """
        async for record in self._keys(type, key):
            for projection in projections:
                yield await self._one(projection, record, write=write)

    async def _keys(self, type: str, key: str | None) -> AsyncIterator[KeyRecord]:
        if key is not None:
            found = await self._planes.inspection.key(type, key)
            if found is not None:
                yield found
            return
        async for record in all_keys(self._planes.inspection, type):
            yield record

    async def _one(self, projection: Projection[Any], key: KeyRecord, *, write: bool) -> Rebuilt:
        def ended(outcome: RebuildOutcome, entries: int, problem: str = "") -> Rebuilt:
            return Rebuilt(key.type, key.key, projection.name, outcome, entries, problem)

        while True:
            try:
                kept = await self._compare(projection, key)
                if kept is _Kept.RIGHT:
                    return ended(RebuildOutcome.SAME, key.log_length)
                if not write:
                    return ended(RebuildOutcome.DIFFERS, key.log_length)
                # A state that is wrong may have been wrong before: then the snapshot is too.
                from_start = self._from_start or kept is _Kept.WRONG
                return ended(RebuildOutcome.REBUILT, await self._rebuild(projection, key, from_start))
            except ProjectionFailed as error:
                current = await self._planes.inspection.key(key.type, key.key)
                if current is None or current.log_trimmed == key.log_trimmed:
                    return ended(RebuildOutcome.FAILED, key.log_length, str(error))
                # What was to be read was dropped meanwhile: a later snapshot has it.
                key = current
            except WaitTimeout as error:
                return ended(RebuildOutcome.BUSY, key.log_length, str(error))

    async def _compare(self, projection: Projection[Any], key: KeyRecord) -> _Kept:
        """Return whether the record matches the log, as far as the log went when `key` was read."""
        # Before what may move on beside it: so it is of no more entries, unless somebody wrote it by hand.
        snapshot = await self._snapshot(projection, key)
        latest = projection.load(await self._planes.store.record(key.type, key.key, projection.record))
        if latest is None or latest.position < key.log_length:
            return _Kept.RIGHT if key.log_length == 0 and latest is None else _Kept.BEHIND
        if latest.position > key.log_length:
            # The log may have grown since `key` was read.
            current = await self._planes.inspection.key(key.type, key.key)
            if current is not None and latest.position > current.log_length:
                return _Kept.WRONG
        from_start = self._from_start and not key.log_trimmed
        known = None if from_start else _upto(latest.position, snapshot)
        built = await fold(projection, self._planes.inspection, key.type, key.key, latest.position, known)
        return _Kept.RIGHT if projection.same(built, latest) else _Kept.WRONG

    async def _snapshot(self, projection: Projection[Any], key: KeyRecord) -> ProjectionState[Any] | None:
        return projection.load(await self._planes.store.record(key.type, key.key, projection.snapshot))

    async def _rebuild(self, projection: Projection[Any], key: KeyRecord, from_start: bool) -> int:
        """Write the projection anew, under a lease; return how many entries it is of."""
        floor = 0
        while True:
            lease = await self._claim(f"{key.type}/{key.key}", floor)
            try:
                with lease.guarding():
                    answer = await self._write(projection, key, lease, from_start)
            finally:
                await self._keeper.release(lease)
            if not isinstance(answer, Stale):
                return answer
            floor = answer.mark

    async def _write(self, projection: Projection[Any], key: KeyRecord, lease: Lease, from_start: bool) -> int | Stale:
        while True:
            snapshot = await self._snapshot(projection, key)
            current = await self._planes.inspection.key(key.type, key.key)
            length = key.log_length if current is None else current.log_length
            is_whole = current is not None and not current.log_trimmed
            known = None if from_start and is_whole else _upto(length, snapshot)
            reached = await fold(projection, self._planes.inspection, key.type, key.key, length, known)
            # The snapshot too: where it is what was wrong, the next rebuild would start from it.
            records = dict.fromkeys((projection.record, projection.snapshot), projection.dump(reached))
            lease.check()
            answer = await self._planes.store.amend(key.type, key.key, lease.fence, records, log_length=length)
            if isinstance(answer, Stale):
                return answer
            if answer:
                return length

    async def _claim(self, resource: str, floor: int) -> Lease:
        deadline = self._clock.now() + self._patience
        while True:
            answer = await self._keeper.claim(resource, floor=floor)
            if isinstance(answer, Lease):
                return answer
            left = deadline - self._clock.now()
            if left <= 0:
                raise WaitTimeout(f"a job runs on it, by {answer.owner}, for over {self._patience:g} s")
            await self._planes.coordinator.wait_change(resource, min(left, answer.remaining) + 0.01)


def _upto(position: int, snapshot: ProjectionState[Any] | None) -> ProjectionState[Any] | None:
    return snapshot if snapshot is not None and snapshot.position <= position else None
