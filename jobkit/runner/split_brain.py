"""Evidence that two workers acted on one resource: who the other one is, told within a second.

It keeps nobody from writing: the store does that, and has refused one of the two by the time there is evidence. Nor
does it hold up the job: what it asks the store is asked on the side, once, for a bounded time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import anyio

from jobkit.errors import Unavailable
from jobkit.leases import Lease
from jobkit.model.clock import Clock
from jobkit.ports.inspection import Inspection, KeyRecord
from jobkit.runner.decode import Job
from jobkit.telemetry import Telemetry

# What is known is told after this long, with or without the other one's name.
_ASK_SECONDS = 0.7
# Beyond so many untold cases they are told at once, without asking.
_MOST_UNTOLD = 100
_UNKNOWN = "unknown: the store did not say"


@dataclass(frozen=True, slots=True)
class _Case:
    kind: str
    type: str
    key: str
    token: int
    mark: int | None

    @property
    def resource(self) -> str:
        return f"{self.type}/{self.key}"


class SplitBrainWatch:
    """Takes evidence from the pipeline and the partitions, and tells it with both names."""

    def __init__(self, inspection: Inspection, owner: str, clock: Clock, telemetry: Telemetry) -> None:
        self._inspection = inspection
        self._owner = owner
        self._clock = clock
        self._telemetry = telemetry
        self._untold: deque[_Case] = deque()
        self._arrived = anyio.Event()

    def refused(self, job: Job, lease: Lease, mark: int | None) -> None:
        """Take note that the store refused a write under `lease`: somebody opened the key since."""
        self._note(_Case("stale_write", job.envelope.type, job.key, lease.ref.token, mark))

    def outbid(self, job: Job, lease: Lease, mark: int) -> None:
        """Take note of a grant that the store has seen passed, or given to another: the coordinator forgot."""
        kind = "token_twice" if mark == lease.ref.token else "token_backwards"
        self._note(_Case(kind, job.envelope.type, job.key, lease.ref.token, mark))

    def lost(self, job: Job, lease: Lease) -> None:
        """Take note of a lease lost under its job: where another opened the key meanwhile, both acted on it."""
        self._note(_Case("overlap", job.envelope.type, job.key, lease.ref.token, None))

    def deposed(self, resource: str, token: int, other: str) -> None:
        """Tell that `other` consumes a partition that this worker leads."""
        self._tell("two_leaders", resource, token, other, None)

    async def run(self) -> None:
        """Ask for names and tell, until cancelled; what is untold by then is told without."""
        try:
            while True:
                while self._untold:
                    await self._find_out(self._untold[0])
                    self._untold.popleft()
                self._arrived = anyio.Event()
                await self._arrived.wait()
        finally:
            for case in self._untold:
                self._tell_unknown(case)
            self._untold.clear()

    def _note(self, case: _Case) -> None:
        if len(self._untold) >= _MOST_UNTOLD:
            self._tell_unknown(case)
            return
        self._untold.append(case)
        self._arrived.set()

    async def _find_out(self, case: _Case) -> None:
        record: KeyRecord | None = None
        with anyio.move_on_after(_ASK_SECONDS):
            try:
                record = await self._inspection.key(case.type, case.key)
            except Unavailable as error:
                self._telemetry.connection_lost(error.plane, f"asking who holds {case.resource}", error)
        if record is None:
            self._tell_unknown(case)
        elif case.kind != "overlap" or (record.token > case.token and record.owner != self._owner):
            mark = record.token if case.mark is None else case.mark
            self._tell(case.kind, case.resource, case.token, record.owner, mark)

    def _tell_unknown(self, case: _Case) -> None:
        # A lost lease alone is no evidence: mostly nobody has taken the job over yet.
        if case.kind != "overlap":
            self._tell(case.kind, case.resource, case.token, _UNKNOWN, case.mark)

    def _tell(self, kind: str, resource: str, token: int, other: str, mark: int | None) -> None:
        self._telemetry.split_brain(
            kind, resource, worker=self._owner, token=token, other=other, mark=mark, at=self._clock.wall()
        )
