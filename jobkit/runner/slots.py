"""The concurrency limit of one worker process: so many processors run at once, and not many more jobs are under way.

A slot is held while a processor runs. A job that is being claimed, opened or committed holds none, or a slow network
would leave every slot idle for four round trips a job. How many may be under way besides those that run is measured:
as many as fit into the time that jobs spend on the wire, so that a free slot finds one that is ready. Where jobs take
much longer than the wire there are none, and nobody holds a lease on a job that it cannot begin.

A job that is suspected of taking its worker down is under way alone: it waits for those that are, and no other is
admitted until it has left, so that a crash counts against nobody else.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress

import anyio

from jobkit.model.clock import Clock
from jobkit.model.priority import Priority
from jobkit.runner.next_in_line import Turns

# How much the latest job counts in the two averages.
_WEIGHT = 0.1
# Shorter than this no processor is taken to run, in seconds: the quotient has to stay a number.
_SHORTEST_SECONDS = 1e-4


class Slots:
    """`count` processors run at once; `most_ahead` bounds how many other jobs may be under way."""

    def __init__(self, count: int, clock: Clock, *, most_ahead: int | None = None) -> None:
        self._count = count
        # The time that jobs are measured by.
        self.now = clock.now
        self._most_ahead = 7 * count if most_ahead is None else most_ahead
        self._running = anyio.Semaphore(count, fast_acquire=True)
        self._under_way = 0
        self._waiting: Turns[asyncio.Future[None]] = Turns()
        # Held by whoever is under way alone, or is the next to be; `_empty` is set once nobody else is.
        self._alone = anyio.Semaphore(1, fast_acquire=True)
        self._empty: anyio.Event | None = None
        self._on_wire = 0.0
        self._at_work = _SHORTEST_SECONDS

    @property
    def limit(self) -> int:
        """How many jobs may be under way now, those that run included; none while one wants to be alone."""
        if self._empty is not None:
            return 0
        ahead = math.floor(self._count * self._on_wire / self._at_work)
        return self._count + min(ahead, self._most_ahead)

    @property
    def idle(self) -> bool:
        """Whether one more job would be admitted at once."""
        return not self._waiting and self._under_way < self.limit

    def admitted(self, *, alone: bool = False, priority: Priority = Priority.NORMAL) -> Slot:
        """Return a job's place among those under way, or as the only one, to be held for a block."""
        return Slot(self, alone=alone, priority=priority)

    # ---- for `Slot` --------------------------------------------------------------------------------------------

    async def enter(self, priority: Priority = Priority.NORMAL) -> None:
        """Wait until one more job may be under way; the most urgent first, of those the first that came."""
        if self._under_way < self.limit and not self._waiting:
            self._under_way += 1
            return
        # Not an event, which takes several times as long to make: when queues are full most jobs wait here.
        turn = asyncio.get_running_loop().create_future()
        self._waiting.add(turn, priority)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                # It was this one's turn already: pass it on.
                self.leave()
            else:
                with suppress(ValueError):
                    self._waiting.remove(turn, priority)
            raise

    async def enter_alone(self) -> None:
        """Wait until no job is under way; no other will be until `leave_alone`."""
        await self._alone.acquire()
        self._empty = anyio.Event()
        try:
            if self._under_way:
                await self._empty.wait()
        except BaseException:
            self.leave_alone()
            raise

    def leave_alone(self) -> None:
        """Let others be under way again."""
        self._empty = None
        self._alone.release()
        self._admit()

    def leave(self) -> None:
        """Let others be under way, as many as there is room for."""
        self._under_way -= 1
        if self._empty is not None and not self._under_way:
            self._empty.set()
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._under_way < self.limit:
            turn = self._waiting.next()
            if not turn.done():
                self._under_way += 1
                turn.set_result(None)

    async def begin(self) -> None:
        """Wait until one more processor may run."""
        await self._running.acquire()

    def begin_at_once(self) -> bool:
        """Have one more processor run, if it may at once: what `begin` does, without a look through cancel scopes."""
        free = self._running.value > 0
        if free:
            self._running.acquire_nowait()
        return free

    def end(self) -> None:
        """Let another processor run."""
        self._running.release()

    @property
    def free(self) -> bool:
        """Whether `begin` would return at once."""
        return self._running.value > 0

    def measured(self, on_wire: float, at_work: float) -> None:
        """Take a job's seconds on the wire and at work into the averages."""
        self._on_wire += _WEIGHT * (on_wire - self._on_wire)
        self._at_work += _WEIGHT * (max(at_work, _SHORTEST_SECONDS) - self._at_work)


class Slot:
    """One job's way past the limits: admitted for a block, holding a slot from `begin` to `end`."""

    __slots__ = ("_at_work", "_began", "_entered", "_priority", "_slots", "_waited", "alone")

    def __init__(self, slots: Slots, *, alone: bool, priority: Priority) -> None:
        self.alone = alone
        self._priority = priority
        self._slots = slots
        self._entered: float | None = None
        self._began: float | None = None
        self._at_work = 0.0
        self._waited = 0.0

    async def __aenter__(self) -> Slot:
        await self._enter()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.end()
        self._leave()

    @property
    def free(self) -> bool:
        """Whether a processor may begin at once."""
        return self._entered is not None and self._slots.free

    async def begin(self) -> None:
        """Wait for a slot; before that for admission, where it was given back."""
        if self._entered is None:
            await self._enter()
        asked = self._slots.now()
        if self._slots.begin_at_once():
            self._began = asked
            return
        await self._slots.begin()
        self._began = self._slots.now()
        self._waited += self._began - asked

    def end(self) -> None:
        """Give the slot back; the job is still under way. More than once is as good as once."""
        if self._began is not None:
            self._at_work += self._slots.now() - self._began
            self._began = None
            self._slots.end()

    def give_back(self) -> None:
        """Give back the slot and the admission, for a wait that is no work; `begin` asks for both again."""
        self.end()
        self._leave()

    async def _enter(self) -> None:
        await (self._slots.enter_alone() if self.alone else self._slots.enter(self._priority))
        self._entered = self._slots.now()

    def _leave(self) -> None:
        if self._entered is not None:
            under_way = self._slots.now() - self._entered
            if self._at_work:
                self._slots.measured(max(0.0, under_way - self._at_work - self._waited), self._at_work)
            self._entered = None
            self._at_work = self._waited = 0.0
            if self.alone:
                self._slots.leave_alone()
            else:
                self._slots.leave()
