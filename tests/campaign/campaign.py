"""One campaign: jobs are submitted while everything goes wrong that the schedule says, and then it is looked what came
of them.
"""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio import to_thread

from jobkit.errors import Unavailable
from jobkit.ops.verify import Violation
from jobkit.ports.store import NewJob
from tests.campaign.checker import findings, left_to_do
from tests.campaign.cluster import Cluster, open_cluster
from tests.campaign.fanning import Fanning
from tests.campaign.fanning_checker import fanning_findings
from tests.campaign.filming import CHUNK, FILM, Filming, film_settings
from tests.campaign.filming_checker import filming_findings
from tests.campaign.names import ERRAND, JOURNAL_VARIABLE, PIECE, TYPE
from tests.campaign.plugin import Step
from tests.campaign.schedule import Schedule
from tests.campaign.servers import StoreKind
from tests.campaign.steering import Steering
from tests.campaign.steering_checker import steering_findings
from tests.campaign.troubles import make_trouble

_LOOK_SECONDS = 0.25
_SUBMIT_EVERY_SECONDS = 0.2
# One transaction takes at most so many.
_SUBMIT_AT_ONCE = 500
# How long a worker is given to end once it is told to; `drain_seconds` is less.
_END_SECONDS = 40.0
_TOLD_FINDINGS = 20
# By so much the wall clock of one worker's machine is wrong.
_WRONG_CLOCK_SECONDS = 3600.0


@dataclass
class Outcome:
    """What came of a campaign. `drained` is how long it took, after the last fault, until everything was done."""

    schedule: Schedule
    store: StoreKind
    submitted: int = 0
    cancelled: int = 0
    groups: int = 0
    films: int = 0
    reprioritized: int = 0
    seconds: float = 0.0
    drained: float = 0.0
    elections: int = 0
    most_opens: int = 0
    claims: Counter[str] = field(default_factory=Counter)
    loud: Mapping[str, int] = field(default_factory=dict)
    wrong: list[Violation] = field(default_factory=list)
    history: list[tuple[float, str]] = field(default_factory=list)

    @property
    def faults(self) -> int:
        return len(self.schedule.alone) + len(self.schedule.together)

    def summary(self) -> str:
        """Return the figures in a few lines."""
        failed = {outcome: number for outcome, number in self.claims.items() if number and outcome != "granted"}
        return "\n".join(
            [
                f"seed {self.schedule.seed}, {self.store} store: {self.submitted} jobs, {self.cancelled} cancelled, "
                f"{self.groups} groups, {self.films} films, "
                f"{self.reprioritized} of another priority, {self.faults} faults, {self.seconds:.0f} s, "
                f"everything done {self.drained:.1f} s after the last",
                f"{self.elections} elections, {self.claims['granted']} leases granted, others: {failed or 'none'}; "
                f"no job was started more than {self.most_opens} times",
                ", ".join(f"{event}: {number}" for event, number in self.loud.items()),
                f"{len(self.wrong)} findings"
                if self.wrong
                else "every job took effect exactly once or was given up, every key in order",
            ]
        )

    def report(self) -> str:
        """Return what a person needs to look into a campaign that went wrong."""
        lines = [self.summary(), *(f"  {found}" for found in self.wrong[:_TOLD_FINDINGS]), "what happened:"]
        return "\n".join([*lines, *(f"  {at:8.2f} {what}" for at, what in self.history)])


# Lines of the workers' logs that are counted for the summary.
_LOUD = (
    "lease lost",
    "renewal failed",
    "stale write refused",
    "token below the store's mark, claiming again",
    "duplicate delivery dropped",
    "lease still held by another worker",
    "unexpected error",
)


async def run_campaign(
    root: Path, store: StoreKind, schedule: Schedule, *, extra: Mapping[str, str] | None = None
) -> Outcome:
    """Run a campaign to its end under `root`, where logs and metrics of all workers are afterwards."""
    scale = schedule.scale
    outcome = Outcome(schedule, store)
    began = time.monotonic()
    settings = {"LOG_LEVEL": "info", **dict(scale.settings)}
    types = (TYPE, *[ERRAND] * bool(scale.errands), *[PIECE] * bool(scale.trees), *[FILM, CHUNK] * bool(scale.films))
    # Before there are workers, which look for the folder of their sources as they start.
    settings |= await to_thread.run_sync(film_settings, root / "sources") if scale.films else {}
    journal = root / "journal.jsonl"
    environment = {JOURNAL_VARIABLE: str(journal), **(extra or {})}
    async with open_cluster(
        root,
        store,
        workers=scale.workers,
        types=types,
        settings=settings,
        extra=environment,
        wrong_by=_WRONG_CLOCK_SECONDS,
    ) as cluster:
        keys: dict[str, list[str]] = defaultdict(list)
        steering = Steering(cluster, schedule, keys)
        fanning = Fanning(cluster, schedule, journal)
        filming = Filming(cluster, schedule, root / "sources")
        async with anyio.create_task_group() as carers:
            carers.start_soon(fanning.look_after)
            await _storm(cluster, schedule, keys, steering, (fanning, filming))
            told = steering.told
            outcome.films = len(filming.told.films)
            outcome.submitted = scale.jobs + len(told.errands) + len(fanning.told.trees) + outcome.films
            healed = time.monotonic()
            if scale.errands:
                await steering.end()
            await _until_done(cluster, outcome.submitted, scale.bound)
            outcome.drained = time.monotonic() - healed
            carers.cancel_scope.cancel()
        await cluster.drain(_END_SECONDS)
        planes = cluster.site.planes
        outcome.wrong = cluster.wrong + await findings(planes, keys, told.cancelled)
        outcome.wrong += await steering_findings(planes.inspection, told, cluster.losses, scale.lease_ttl)
        outcome.wrong += await fanning_findings(planes.inspection, fanning.told, journal)
        outcome.wrong += await filming_findings(cluster.site.client, planes.inspection, filming.told, root)
        outcome.groups = len(fanning.told.trees)
        outcome.cancelled = len(told.cancelled)
        outcome.reprioritized = told.reprioritized
        outcome.history = cluster.history
        outcome.seconds = time.monotonic() - began
        records = await cluster.site.planes.inspection.jobs(type=TYPE, limit=scale.jobs)
        outcome.most_opens = max(record.opens for record in records)
        outcome.elections = cluster.said("leadership taken")
        outcome.claims = cluster.counted("jobkit.claims", by="outcome")
        outcome.loud = {event: number for event in _LOUD if (number := cluster.said(event))}
    (root / "history.txt").write_text(f"{outcome.report()}\n")
    return outcome


async def _storm(
    cluster: Cluster,
    schedule: Schedule,
    keys: dict[str, list[str]],
    steering: Steering,
    others: Sequence[Fanning | Filming],
) -> None:
    """Have everything go wrong that is to, while jobs are submitted and steered."""
    if schedule.scale.errands:
        await steering.begin()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_submit, cluster, schedule, keys)
        tasks.start_soon(make_trouble, cluster, schedule)
        for people in others:
            tasks.start_soon(people.run)
        if schedule.scale.errands:
            tasks.start_soon(steering.run)
    cluster.note("nothing goes wrong any more")


async def _submit(cluster: Cluster, schedule: Schedule, keys: dict[str, list[str]]) -> None:
    """Submit all jobs, evenly over the time that the schedule takes."""
    jobs = _jobs(cluster, schedule)
    rate = schedule.scale.jobs / max(1.0, schedule.seconds)
    begun, done = time.monotonic(), 0
    while done < len(jobs):
        due = min(len(jobs), done + _SUBMIT_AT_ONCE, 1 + int((time.monotonic() - begun) * rate))
        if due > done:
            await _accept(cluster, jobs[done:due])
            for job in jobs[done:due]:
                keys[job.envelope.key or ""].append(job.envelope.id)
        done = due
        await anyio.sleep(_SUBMIT_EVERY_SECONDS)
    cluster.note("everything is submitted")


def _jobs(cluster: Cluster, schedule: Schedule) -> list[NewJob]:
    rng = random.Random(f"jobs {schedule.seed}")
    scale = schedule.scale
    jobs = []
    for number in range(scale.jobs):
        seconds = rng.uniform(0, 0.05)
        if rng.random() < scale.long_jobs:
            seconds = scale.lease_ttl * rng.uniform(0.5, 1.5)
        step = Step(on=f"key-{number % scale.keys}", number=1 + number // scale.keys, seconds=seconds)
        jobs.append(cluster.site.client.job(TYPE, step, id=f"{schedule.seed}-{number}"))
    return jobs


async def _accept(cluster: Cluster, jobs: Sequence[NewJob]) -> None:
    """Submit jobs until that is answered: under the same ids, as the documentation tells clients to."""
    while True:
        try:
            await cluster.site.client.submit_many(jobs)
        except Unavailable:
            await anyio.sleep(_SUBMIT_EVERY_SECONDS)
        else:
            return


async def _until_done(cluster: Cluster, jobs: int, bound: float) -> None:
    """Wait until nothing is left to do, or the time for that is over; the reader will say what is left."""
    with anyio.move_on_after(bound):
        while True:
            try:
                if not await left_to_do(cluster.site.planes, jobs):
                    cluster.note("everything is done")
                    return
            except Unavailable as error:
                cluster.note(f"the test itself has no answer: {error}")
            await anyio.sleep(_LOOK_SECONDS)
    cluster.note(f"not everything is done after {bound:g} s")
    cluster.wrong.append(
        Violation("progress", "cluster", f"{bound:g} s: {await left_to_do(cluster.site.planes, jobs)}")
    )
