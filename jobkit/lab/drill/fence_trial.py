"""The drill tries the fence: commits that come after somebody else has taken over, on purpose and at chosen moments.

One is held on the wire from before its lease ended; another worker stands still between its last look at its lease and
its write. Both are let go on only once the key's mark in the store has moved, so that the store alone can refuse them.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from jobkit.client import Client
from jobkit.lab.drill.environment import Site, WorkerProcess
from jobkit.lab.drill.late_commit import LateCommit, Lateness
from jobkit.lab.drill.pausing import pause, stand
from jobkit.lab.drill.plugin import TRANSCODE, Video
from jobkit.model.clock import Clock
from jobkit.model.partition import partition_of
from jobkit.ports.planes import Planes
from jobkit.settings import Settings

_LOOK_SECONDS = 0.05
# What a worker needs to end its work and send the commit, before its own deadline.
_SEND_SECONDS = 1.0
_ANNOUNCE_SECONDS = 5.0
_ANSWER_SECONDS = 15.0
# Within which a worker of the far region should lead something.
_LEAD_SECONDS = 20.0
REFUSED, ACCEPTED = "Refused", "Committed"


@dataclass(frozen=True, slots=True)
class LateWrite:
    """One trial: what made the write late, and what came of it; `tried` where the store had to answer it."""

    lateness: Lateness
    told: str
    tried: bool = False
    refused: bool = False
    heard: bool = False


@dataclass
class FenceTrial:
    """The late commits of one drill, and what came of those that are over."""

    planes: Planes
    site: Site
    settings: Settings
    clock: Clock
    outcomes: list[LateWrite] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    _late: dict[Lateness, LateCommit] = field(default_factory=dict)

    @property
    def unheard(self) -> int:
        """How many refusals no worker counted, since it had given the job up before the answer came."""
        return sum(one.refused and not one.heard for one in self.outcomes)

    async def begin(self, client: Client) -> None:
        """Have workers of the far region begin the jobs whose commits will be late; embedded, there is no wire."""
        first, second = self.site.of("far")
        await self._submit(client, Lateness.PAUSE, first)
        if not self.site.embedded:
            await self._submit(client, Lateness.WIRE, second)

    async def on_the_wire(self, worker: WorkerProcess) -> None:
        """Hold a commit on its way to the store past the end of its lease, until another worker has taken over."""
        late = self._late.get(Lateness.WIRE)
        if late is None:
            return
        store = worker.proxies["store"]
        await self._lease_nearly_over(late)
        store.hold("up")
        try:
            late.wanted.touch()
            if not await self._comes(late.announced.exists, _ANNOUNCE_SECONDS):
                self._over(late, "its worker did not come to commit")
                return
            await self._comes_to_move(late)
        finally:
            # What was held passes, and the worker's other links stay as they are.
            store.heal()
        await self._answered(late)

    async def paused(self, worker: WorkerProcess) -> None:
        """Have a worker stand still between its last look at its lease and its write; else stop it where it is."""
        late = self._late.get(Lateness.PAUSE)
        shared = self.planes.coordinator if self.site.embedded else None
        if late is None:
            await pause(worker, shared, self.clock)
            return
        if shared is None:
            await self._lease_nearly_over(late)
        late.wanted.touch()
        if await self._comes(late.announced.exists, _ANNOUNCE_SECONDS):
            await stand(worker, shared, self.clock, stop=worker.stops)
        else:
            await pause(worker, shared, self.clock)

    async def resumed(self, worker: WorkerProcess) -> None:
        """Let the paused worker go on, and see what becomes of its write."""
        late = self._late.get(Lateness.PAUSE)
        if late is None:
            worker.resume()
            return
        moved = late.announced.exists() and await self._moved(late)
        late.released.touch()
        worker.resume()
        if moved:
            await self._answered(late)
        else:
            self._over(late, "its worker did not stop just before its write, or nobody took over")

    def release(self) -> None:
        """Hold up nobody any more."""
        for late in self._late.values():
            for file in (late.wanted, late.released, late.over):
                file.touch()

    async def _submit(self, client: Client, lateness: Lateness, worker: WorkerProcess) -> None:
        """Submit a job that `worker` begins, as the one that leads its partition; none where it leads nothing."""
        ends = self.clock.now() + _LEAD_SECONDS
        while not (led := await self._led(worker)):
            if self.clock.now() >= ends:
                self.outcomes.append(LateWrite(lateness, f"its worker led nothing within {_LEAD_SECONDS:.0f} s"))
                return
            await self.clock.sleep(_LOOK_SECONDS)
        names = (LateCommit.name(lateness, number) for number in itertools.count(1))
        name = next(one for one in names if partition_of(one, self.settings.partitions) in led)
        self._late[lateness] = LateCommit(self.site.shared, name)
        self.names.append(name)
        await client.submit(TRANSCODE, Video(session=name, seconds=0))

    async def _led(self, worker: WorkerProcess) -> set[int]:
        """Return the partitions of the job's type that a worker leads."""
        prefix = f"leader/{TRANSCODE}/"
        return {
            int(lease.resource.removeprefix(prefix))
            for lease in await self.planes.coordinator.leases(prefix)
            if lease.owner.split(":")[-2] == str(worker.process.pid)
        }

    async def _lease_nearly_over(self, late: LateCommit) -> None:
        """Wait until the lease, which can no longer be renewed, is just long enough for the commit to be sent."""
        terms = self.settings
        enough = terms.lease_guard + terms.lease_ttl * terms.clock_drift + _SEND_SECONDS
        resource = f"{TRANSCODE}/{late.key}"

        while True:
            leases = await self.planes.coordinator.leases(resource)
            left = max((lease.remaining for lease in leases if lease.resource == resource), default=0.0)
            if left <= enough:
                return
            await self.clock.sleep(min(left - enough, _LOOK_SECONDS))

    async def _comes_to_move(self, late: LateCommit) -> None:
        patience = self.clock.now() + 2 * self.settings.lease_ttl
        while not await self._moved(late) and self.clock.now() < patience:
            await self.clock.sleep(_LOOK_SECONDS)

    async def _moved(self, late: LateCommit) -> bool:
        """Return whether somebody else's mark is on the key."""
        key = await self.planes.inspection.key(TRANSCODE, late.key)
        return key is not None and key.token > int(late.announced.read_text())

    async def _answered(self, late: LateCommit) -> None:
        """Note what the store answered to the late write."""
        answered = await self._comes(lambda: _answer(late)[0] in (REFUSED, ACCEPTED), _ANSWER_SECONDS)
        answer, heard = _answer(late)
        if answered:
            told = "the store refused it" if answer == REFUSED else "the store took it"
            self._over(late, told, tried=True, refused=answer == REFUSED, heard=heard)
        else:
            self._over(late, f"the store's answer was: {answer or 'none'}")

    def _over(
        self, late: LateCommit, told: str, *, tried: bool = False, refused: bool = False, heard: bool = False
    ) -> None:
        self.outcomes.append(LateWrite(late.lateness, told, tried, refused, heard))
        late.over.touch()

    async def _comes(self, happened: Callable[[], bool], seconds: float) -> bool:
        ends = self.clock.now() + seconds
        while not happened():
            if self.clock.now() >= ends:
                return False
            await self.clock.sleep(_LOOK_SECONDS)
        return True


def _answer(late: LateCommit) -> tuple[str, bool]:
    """Return the latest answer to a late write, if there is one, and whether the worker still listened."""
    if not late.answer.exists():
        return "", False
    said = json.loads(late.answer.read_text())
    return str(said["answer"]), bool(said["heard"])
