"""Waiting for jobs: for however many at once, with one subscription and one look for all of them.

There is no task of its own. Of those who wait, one looks for all, and once it has what it waits for, the next one goes
on looking. So nothing runs where nobody waits, and who is cancelled leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

import anyio

from jobkit.client.group_progress import all_with_members
from jobkit.errors import JobNotFound
from jobkit.model.clock import Clock
from jobkit.ports.inspection import STATES_AT_ONCE, Inspection, JobRecord
from jobkit.ports.store import Store

# Notifications are hints, so that everybody is looked at so often anyway.
_EVERY_SECONDS = 1.0
# Of so many jobs one ends all the time: their next look is put off by so much, and nobody's by more than that.
_SECONDS_FOR_EACH = 0.0002
_GATHER_SECONDS = 0.25


@dataclass(eq=False, slots=True)
class _Waiter:
    """Somebody who waits for a job to be another than `seen`. The answer None: it is his turn to look for all."""

    id: str
    seen: JobRecord | None
    deadline: float
    answer: asyncio.Future[JobRecord | None]
    looked_at: bool = False


class JobWatch:
    """The jobs that somebody in this process waits for."""

    def __init__(self, store: Store, inspection: Inspection, clock: Clock) -> None:
        self._store = store
        self._inspection = inspection
        self._clock = clock
        # A dictionary, not a set: who is told first must not differ from run to run.
        self._waiters: dict[_Waiter, None] = {}
        self._looker: _Waiter | None = None
        self._wait_scope: anyio.CancelScope | None = None
        self._joined = False
        self._looked_at_all = -math.inf

    async def change(self, id: str, seen: JobRecord | None, deadline: float) -> JobRecord:
        """Return the job's record once it is another than `seen`, or as it is at the `deadline` of the clock.

        Raises `JobNotFound` or `Unavailable`.
        """
        waiter = _Waiter(id, seen, deadline, _no_answer())
        self._waiters[waiter] = None
        self._joined = True
        if self._wait_scope is not None:
            self._wait_scope.cancel()
        try:
            if self._looker is None:
                self._looker = waiter
            elif (found := await waiter.answer) is not None:
                return found
            else:
                waiter.answer = _no_answer()
            return await self._look_until_answered(waiter)
        finally:
            del self._waiters[waiter]
            _forget(waiter.answer)
            if self._looker is waiter:
                self._hand_over()

    def _hand_over(self) -> None:
        """Have somebody else look from now on, where anybody still waits."""
        self._looker = next((one for one in self._waiters if not one.answer.done()), None)
        if self._looker is not None:
            self._looker.answer.set_result(None)

    async def _look_until_answered(self, waiter: _Waiter) -> JobRecord:
        at_all = False
        while not waiter.answer.done():
            try:
                await self._look(at_all)
                if not waiter.answer.done():
                    at_all = await self._wait()
            except Exception as error:  # noqa: BLE001  (raised below, and where each of the others waits)
                for one in self._waiters:
                    if not one.answer.done():
                        one.answer.set_exception(error)
        found = waiter.answer.result()
        assert found is not None  # noqa: S101  (it is his turn already)
        return found

    async def _look(self, at_all: bool) -> None:
        """Look at all jobs, or at those that nobody has looked at yet, and tell those for whom there is something."""
        self._joined = False
        wanted = [one for one in self._waiters if at_all or not one.looked_at]
        if len(wanted) == len(self._waiters):
            self._looked_at_all = self._clock.now()
        ids = list(dict.fromkeys(one.id for one in wanted))
        found: dict[str, JobRecord] = {}
        for start in range(0, len(ids), STATES_AT_ONCE):
            records = await self._inspection.records(ids[start : start + STATES_AT_ONCE])
            found.update(await all_with_members(self._store, records))
        now = self._clock.now()
        for one in wanted:
            one.looked_at = True
            record = found.get(one.id)
            if one.answer.done():
                continue
            if record is None:
                one.answer.set_exception(unknown_job(one.id))
            elif record != one.seen or now >= one.deadline:
                one.answer.set_result(record)

    async def _wait(self) -> bool:
        """Wait until it is time to look again; return whether at all, or only at those that have joined."""
        left = min(self._looked_at_all + _EVERY_SECONDS, *(one.deadline for one in self._waiters)) - self._clock.now()
        ids = list(dict.fromkeys(one.id for one in self._waiters))
        with anyio.CancelScope() as self._wait_scope:
            if not self._joined:
                # However many there are beyond that are seen a second later.
                await self._store.wait_finished(ids[:STATES_AT_ONCE], max(left, 0.0))
        self._wait_scope = None
        since = self._clock.now() - self._looked_at_all
        if self._joined:
            return since >= _EVERY_SECONDS
        pause = min(len(ids) * _SECONDS_FOR_EACH, _GATHER_SECONDS) - since
        if pause > 0:
            await self._clock.sleep(pause)
        return True


def _no_answer() -> asyncio.Future[JobRecord | None]:
    return asyncio.get_running_loop().create_future()


def _forget(answer: asyncio.Future[JobRecord | None]) -> None:
    """Note that an error in an answer was seen, where whoever it was for was cancelled at the same moment."""
    if answer.done() and not answer.cancelled():
        answer.exception()


def unknown_job(id: str) -> JobNotFound:
    """Return what is to be raised where the store knows no such job."""
    return JobNotFound(f"no job {id!r}: it was never submitted here, or was forgotten after its retention")
