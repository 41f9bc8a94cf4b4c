"""Jobs that are held: each worker takes up those that it knows, and those that no live worker knows are buried in time.

A worker holds what it does not know how to read (`unknown_aside.py`). Every worker of the type looks through what is
held, so that it does not matter who leads which partition while two versions run side by side. Who knows something
there keeps a lease that says so, for as long as it is there: while one lives, nothing of the type is buried. That lease
is a hint, like each lease; whatever became of a job, the store alone decides what commits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio

from jobkit.errors import Unavailable
from jobkit.leases import Keeper, Lease
from jobkit.plugin.registry import Registry
from jobkit.ports.in_flight import Shelved
from jobkit.ports.planes import Planes
from jobkit.runner.decode import Job, NotJob, Unknown, decode
from jobkit.runner.in_hand import InHand
from jobkit.runner.lane import Lane, LaneTools
from jobkit.runner.pending_delivery import PendingDelivery
from jobkit.runner.unknown_aside import holding
from jobkit.telemetry import metrics as m

# So many held jobs are read at once, and so many of a type are looked at in one look; the next one goes on from there.
_PAGE = 200
_LOOKED_AT = 1_000
# What the leases of those begin with who know something that is held.
HELD = "held"


class _Round:
    """What one round through all that is held of a type has found, and since when what is unknown has been seen."""

    def __init__(self, before: dict[str, float]) -> None:
        self.after = 0
        self.known = False
        self.unknown: dict[str, float] = {}
        self.before = before

    def since(self, id: str, now: float) -> float:
        """Return when the job was seen first, in this round or the ones before."""
        return self.unknown.setdefault(id, self.before.get(id, now))


class HeldJobs:
    """Looks after what is held of one type, every so many seconds, until it is to `end`.

    What nobody has known for `hold` seconds is buried. `rests` tells whether a key is paused.
    """

    def __init__(
        self,
        type: str,
        planes: Planes,
        keeper: Keeper,
        registry: Registry,
        tools: LaneTools,
        *,
        hold: float,
        every: float,
        prefetch: int,
        max_payload: int,
        rests: Callable[[str], bool],
    ) -> None:
        self._type = type
        self._planes = planes
        self._keeper = keeper
        self._registry = registry
        self._tools = tools
        self._hold = hold
        self._every = every
        self._prefetch = prefetch
        self._max_payload = max_payload
        self._rests = rests
        self._round = _Round({})
        self._lease: Lease | None = None
        self._jobs = anyio.create_task_group()
        self._in_hand = InHand(tools, self._jobs, prefetch, lane_ended=self._lane_ended, on_ack_unknown=_no_delivery)
        self._left_out = False
        self._ending = False
        self._wake = anyio.Event()

    @property
    def busy(self) -> bool:
        """Whether any job is being worked on."""
        return self._in_hand.running > 0

    def end(self) -> None:
        """Take up nothing more; `run` returns once what runs has ended."""
        self._ending = True
        self._wake.set()

    async def run(self) -> None:
        """Look, and run what is found, until the end is asked for."""
        async with self._jobs:
            while not self._ending:
                self._wake = anyio.Event()
                try:
                    await self._look()
                except Unavailable as error:
                    self._tools.telemetry.connection_lost(
                        error.plane, f"looking after held jobs of {self._type}", error
                    )
                with anyio.move_on_after(self._every):
                    await self._wake.wait()
            await self._in_hand.stop_lanes()
            self._in_hand.end()
        await self._let_go()

    async def _lane_ended(self, key: str, lane: Lane) -> None:
        del key, lane
        if self._left_out and len(self._in_hand) <= self._prefetch // 2:
            self._wake.set()

    async def _look(self) -> None:
        """Go on with the round through what is held, and begin another where it is through."""
        self._left_out = False
        for _ in range(_LOOKED_AT // _PAGE):
            page = await self._planes.store.shelved(holding(self._type), limit=_PAGE, after=self._round.after)
            if page:
                await self._go_through(page)
            if len(page) < _PAGE:
                await self._end_round()
                return
            self._round.after = page[-1].position

    async def _go_through(self, page: Sequence[Shelved]) -> None:
        known: list[Job] = []
        for entry in page:
            job = decode(entry.envelope.body, entry.envelope, "", self._registry, max_bytes=self._max_payload)
            if isinstance(job, Job):
                known.append(job)
            else:
                await self._consider(entry.envelope.id, job)
        if known:
            self._round.known = True
            await self._say_known()
            await self._take(known)

    async def _take(self, known: Sequence[Job]) -> None:
        """Put jobs in hand, in order, as far as there is room; those whose keys are worked on elsewhere come later."""
        leases = await self._planes.coordinator.leases(f"{self._type}/")
        elsewhere = {lease.resource for lease in leases if lease.owner != self._keeper.owner}
        here = self._in_hand.ids
        for job in known:
            if job.envelope.id in here or job.resource in elsewhere or self._rests(job.key):
                continue
            if self._ending or len(self._in_hand) >= self._prefetch:
                self._left_out = True
                return
            self._in_hand.put(PendingDelivery(job, arrived=self._tools.clock.now()))

    async def _consider(self, id: str, job: NotJob) -> None:
        """Bury a job that is not known here where nobody else has known one of its type for long enough."""
        now = self._tools.clock.now()
        if now - self._round.since(id, now) < self._hold:
            return
        others = await self._planes.coordinator.leases(f"{HELD}/{self._type}/")
        if any(lease.owner != self._keeper.owner for lease in others):
            return
        await self._tools.pipeline.settlement.bury_message(job.malformed if isinstance(job, Unknown) else job)
        del self._round.unknown[id]

    async def _end_round(self) -> None:
        done, self._round = self._round, _Round(self._round.unknown)
        if not done.known:
            await self._let_go()
        if done.unknown or done.before:
            waiting = min(len(done.unknown), _LOOKED_AT)
            self._tools.telemetry.gauges.show(("held", self._type), {(m.HELD_WAITING, (self._type,)): waiting})

    async def _say_known(self) -> None:
        """Have the others see that somebody knows what is held of the type."""
        if self._lease is None or not self._lease.live:
            claim = await self._keeper.claim(f"{HELD}/{self._type}/{self._keeper.owner}")
            self._lease = claim if isinstance(claim, Lease) else None

    async def _let_go(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            await self._keeper.release(lease)


def _no_delivery() -> None:
    """Do nothing: what is held owes the broker no answer."""
