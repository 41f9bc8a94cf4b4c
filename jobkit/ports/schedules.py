"""Schedules as a store keeps them: rows that only whoever saw their latest state may change.

The store knows nothing of calendars. It says which schedules are due by its own clock, and takes a schedule's next
state together with the jobs that its ticks make, in one transaction, from one caller only. So a tick fires once however
many leaders look at it at the same moment, and however their clocks go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jobkit.ports.store import NewJob, SubmitAnswer


@dataclass(frozen=True, slots=True)
class KeptSchedule:
    """One schedule. `definition` is what its ticks come from, and how far they are decided; the store does not read it.

    `revision` counts its changes, 0 where it is not kept yet. `due` is when somebody is to look next; None: never.
    `seen` is when it was first saved, or wanted last. Both are Unix times by the store's clock.
    """

    name: str
    type: str
    definition: bytes
    revision: int
    due: float | None
    seen: float = 0.0


class Schedules(Protocol):
    """The schedules in a store. Every method is one transaction, and may raise `Unavailable`."""

    async def wall_time(self) -> float:
        """Return the time of the store's wall clock, the one that decides what is due."""
        ...

    async def schedules(self, *, after: str = "", limit: int = 1000) -> Sequence[KeptSchedule]:
        """Return schedules with a name above `after`, in order of names."""
        ...

    async def schedule(self, name: str) -> KeptSchedule | None:
        """Return one schedule, or None."""
        ...

    async def due_schedules(self, *, limit: int) -> tuple[float, Sequence[KeptSchedule]]:
        """Return the time of the store's clock, and schedules that are due by it, those first that were due first.

        Schedules that are not due cost nothing.
        """
        ...

    async def save_schedule(self, schedule: KeptSchedule, jobs: Sequence[NewJob] = ()) -> Sequence[SubmitAnswer] | None:
        """Keep a schedule's next state and accept `jobs`, as by `Store.submit`: all of it, or nothing.

        None, with nothing written, where what is kept has another revision than `schedule`, or is gone.
        """
        ...

    async def remove_schedule(self, name: str, *, revision: int) -> bool:
        """Forget a schedule; tell whether it was there in this revision. Its jobs stay."""
        ...

    async def see_schedules(self, names: Sequence[str]) -> Sequence[str]:
        """Note that these schedules are wanted, just now; return which of them there are. No revision changes."""
        ...
