"""Keys of a led partition that have jobs in the in-flight table which are not in hand.

What is in that table was taken from the queue before all that is still there. So where a key has jobs in it that are
not in hand, what is delivered of the key goes behind them, into the table, and its lane takes the next ones from there:
a key keeps its order over hand-overs, and one that has very many jobs fills nobody's memory.
"""

from __future__ import annotations

import anyio

from jobkit.model.envelope import Envelope
from jobkit.model.partition import Partition
from jobkit.plugin.registry import Registry
from jobkit.ports.planes import Planes
from jobkit.runner.decode import Job, NotJob, Unknown, decode
from jobkit.runner.unknown_aside import put_aside
from jobkit.telemetry import Telemetry

# So many jobs of a key are taken from the table at once, and so many keys are looked at.
_JOBS_AT_ONCE = 20
_KEYS_AT_ONCE = 200
# Of so many jobs it is remembered that they are not known here, so that each is told once.
_TOLD_AT_MOST = 1_000


class InflightKeys:
    """The keys, and how their jobs are taken from the table.

    `ordering` is held by whoever takes a key's jobs from the table, or puts one into it behind them.
    """

    def __init__(
        self, partition: Partition, planes: Planes, registry: Registry, telemetry: Telemetry, *, max_payload: int
    ) -> None:
        self.keys: set[str] = set()
        self.ordering = anyio.Lock()
        self._partition = partition
        self._store = planes.store
        self._inspection = planes.inspection
        self._registry = registry
        self._telemetry = telemetry
        self._max_payload = max_payload
        self._told: set[str] = set()

    async def all_keys(self) -> list[str]:
        """Return every key that has jobs in the table, in hand or not. Raises `Unavailable`."""
        found: list[str] = []
        while True:
            after = found[-1] if found else ""
            page = await self._store.shelved_keys(self._partition, limit=_KEYS_AT_ONCE, after=after)
            found += page
            if len(page) < _KEYS_AT_ONCE:
                return found

    async def take(self, key: str) -> list[Job]:
        """Return the first jobs of a key that has none in hand, in order; it stays aside where there are more.

        What this worker does not know how to read is held for one that does. Raises `Unavailable`.
        """
        self.keys.add(key)
        jobs: list[Job] = []
        after = 0
        while not jobs:
            page = await self._store.shelved(self._partition, limit=_JOBS_AT_ONCE, key=key, after=after)
            for entry in page:
                job = decode(b"", entry.envelope, "", self._registry, max_bytes=self._max_payload)
                if isinstance(job, Job):
                    jobs.append(job)
                else:
                    await self._hold(entry.envelope, job)
            if len(page) < _JOBS_AT_ONCE:
                self.keys.discard(key)
                break
            after = page[-1].position
        return jobs

    async def _hold(self, envelope: Envelope, job: NotJob) -> None:
        # It was a job when it was shelved, so this process is the one that is out of date. Behind others of its key it
        # stays for now, and is met again.
        await put_aside(self._store, self._inspection, envelope)
        id = envelope.id
        if id not in self._told and len(self._told) < _TOLD_AT_MOST:
            self._told.add(id)
            kind = job.kind if isinstance(job, Unknown) else "payload"
            self._telemetry.held(envelope.type, id, kind, job.detail)
