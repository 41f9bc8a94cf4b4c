"""What is watched while a drill goes on, by ways of its own that no trouble lies on."""

from __future__ import annotations

import asyncio
import statistics
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from prometheus_client.parser import text_string_to_metric_families

from jobkit.errors import Unavailable
from jobkit.lab.drill.environment import Site, WorkerProcess
from jobkit.lab.drill.fence_trial import FenceTrial
from jobkit.lab.drill.plugin import UPLOAD
from jobkit.lab.drill.script import Phase
from jobkit.model.clock import Clock
from jobkit.model.side_by_side import side_by_side
from jobkit.ports.inspection import JobRecord, JobState
from jobkit.ports.planes import Planes

EVERY_SECONDS = 1.0
_SCRAPE_SECONDS = 0.5
# So many of the latest jobs are looked at for what has just committed; what waits is looked at as a whole.
_LOOKED_AT = 400
_MOST_WAITING = 20_000
_WAITING = (JobState.QUEUED, JobState.RUNNING, JobState.PARKED)
# Outcomes of claims that are failures; waiting for one's turn is none.
_FAILED_CLAIMS = ("timeout", "late", "unanswered")


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment: `at` in seconds since the drill began; counts are since then, `lag` is in seconds."""

    at: float
    phase: Phase
    elections: int
    claims: int
    failed_claims: int
    lag: float
    committed: int
    stale_writes: int


@dataclass
class Watch:
    """Takes a sample each second."""

    planes: Planes
    site: Site
    clock: Clock
    trial: FenceTrial
    began: float
    phase: Phase = Phase.NORMAL
    missed: int = 0
    samples: list[Sample] = field(default_factory=list)
    # When each partition's leadership changed hands, in seconds since the drill began.
    elections: dict[str, list[float]] = field(default_factory=dict)
    _leaderships: dict[str, int] = field(default_factory=dict)
    _scraped: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)

    async def run(self) -> None:
        """Sample until cancelled; a look that fails is made up for by the next."""
        while True:
            try:
                self.samples.append(await self.look())
            except Unavailable:
                self.missed += 1
            await self.clock.sleep(EVERY_SECONDS)

    async def look(self) -> Sample:
        """Take a sample. Raises `Unavailable`."""
        await self._count_elections()
        await self._scrape()
        inspection = self.planes.inspection
        latest = await inspection.jobs(type=UPLOAD, limit=_LOOKED_AT)
        waiting = [
            job for state in _WAITING for job in await inspection.jobs(type=UPLOAD, state=state, limit=_MOST_WAITING)
        ]
        counts = await self.planes.inspection.counts()
        return Sample(
            at=self.clock.now() - self.began,
            phase=self.phase,
            elections=sum(map(len, self.elections.values())),
            claims=self._sum("jobkit_claims_total"),
            failed_claims=self._sum("jobkit_claims_total", *_FAILED_CLAIMS),
            lag=lag(latest, waiting, self.clock.wall()),
            committed=counts.jobs.get(JobState.COMMITTED, 0),
            stale_writes=self._sum("jobkit_stale_writes_total") + self.trial.unheard,
        )

    async def _count_elections(self) -> None:
        for lease in await self.planes.coordinator.leases("leader/"):
            known = self._leaderships.get(lease.resource)
            # One that lost its data begins to count anew.
            if known is not None and lease.token != known:
                self.elections.setdefault(lease.resource, []).append(self.clock.now() - self.began)
            self._leaderships[lease.resource] = lease.token

    async def _scrape(self) -> None:
        pages = await side_by_side(partial(asyncio.to_thread, _page, worker) for worker in self.site.workers)
        for worker, page in zip(self.site.workers, pages, strict=True):
            # One that is stopped does not answer; what it counted before still holds.
            if page is not None:
                self._scraped[worker.name] = _counters(page)

    def _sum(self, name: str, *outcomes: str) -> int:
        """Return the sum of a counter over all workers, or of some of its outcomes."""
        return sum(
            value
            for counters in self._scraped.values()
            for (counter, outcome), value in counters.items()
            if counter == name and (not outcomes or outcome in outcomes)
        )


def lag(latest: Sequence[JobRecord], waiting: Sequence[JobRecord], now: float) -> float:
    """Return how long events take from submit to commit, in seconds: those that just committed, and those that wait.

    A session whose own event failed waits for its next attempt, and its later events behind it: that is no lag.
    """
    failing = {job.key for job in waiting if job.failures}
    ages = [now - job.submitted_at for job in waiting if job.key not in failing]
    recent = [
        job.finished_at - job.submitted_at
        for job in latest
        if job.state is JobState.COMMITTED and job.finished_at is not None and now - job.finished_at < EVERY_SECONDS
    ]
    return max([statistics.median(recent) if recent else 0.0, *ages])


def _page(worker: WorkerProcess) -> str | None:
    try:
        url = f"http://127.0.0.1:{worker.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=_SCRAPE_SECONDS) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError):
        return None


def _counters(page: str) -> Counter[tuple[str, str]]:
    """Return the counters of a page, by name and outcome ("" where they have none)."""
    found: Counter[tuple[str, str]] = Counter()
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found[sample.name, sample.labels.get("outcome", "")] += int(sample.value)
    return found
