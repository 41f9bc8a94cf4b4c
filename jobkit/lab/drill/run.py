"""The drill as a whole: start, settle, suffer, heal, drain, judge."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import anyio
from pydantic import SecretStr

from jobkit.backends.registry import open_planes
from jobkit.client import Client
from jobkit.lab.drill import plugin
from jobkit.lab.drill.environment import PLANES, DrillFailed, Site, log_tail, open_site
from jobkit.lab.drill.fence_trial import FenceTrial, LateWrite
from jobkit.lab.drill.loss import LOST_REGION, Loss
from jobkit.lab.drill.protections import Protection
from jobkit.lab.drill.sampling import Sample, Watch
from jobkit.lab.drill.script import Phase, Script, script_for
from jobkit.lab.drill.ticks import Ticks
from jobkit.lab.drill.traffic import Traffic
from jobkit.lab.drill.trouble import Scene, perform
from jobkit.lab.drill.verdict import DrillViolation, Judgement, judge
from jobkit.model.clock import Clock
from jobkit.model.invariant import Invariant
from jobkit.plugin.registry import Registry
from jobkit.ports.planes import Planes
from jobkit.settings import Settings

_SETTLE_SECONDS = 90.0
_DRAIN_SECONDS = 120.0
_POLL_SECONDS = 0.2
# The far region begins videos so long that, after a partition, those who took them over are still at it as it heals.
_LECTURE_MARGIN_SECONDS = 5.0
# Lag is back where it was once it is below this again, for so many looks one after another.
NORMAL_LAG_SECONDS = 0.1
_NORMAL_LOOKS = 5


@dataclass(frozen=True, slots=True)
class DrillPlan:
    """What to drill: `rate` events a second; `scale` lengthens the quiet phases."""

    embedded: bool = False
    broken: Protection | None = None
    # What one region can carry alone, with what the other one leaves behind: else the backlog outlasts the partition.
    rate: float = 20.0
    scale: float = 1.0
    seed: int = 1
    lose: Loss | None = None


@dataclass(frozen=True, slots=True)
class DrillReport:
    """What was seen. `began` is Unix time; `phases` are when each began, in seconds since then.

    `elections` are when the leadership of each partition changed hands.
    `healed_after` is how long the lag took to be normal again after the heal, None where it never was.
    """

    plan: DrillPlan
    script: Script
    began: float
    phases: Mapping[Phase, float]
    samples: list[Sample]
    elections: Mapping[str, Sequence[float]]
    missed_samples: int
    unanswered_submits: int
    healed_after: float | None
    drained: bool
    late_writes: Sequence[LateWrite]
    judgement: Judgement

    @property
    def elections_per_minute(self) -> int:
        """How often one leadership changed hands in the worst minute that any of them had."""
        return max((_most_within(moments, 60.0) for moments in self.elections.values()), default=0)

    @property
    def highest_lag(self) -> float:
        """The highest lag that was seen, in seconds."""
        return max((sample.lag for sample in self.samples), default=0.0)

    @property
    def failed_claims(self) -> int:
        """How many claims failed, of workers that were cut off too."""
        return self.samples[-1].failed_claims if self.samples else 0

    @property
    def holds(self) -> bool:
        """Return whether every invariant held and the backlog drained by itself."""
        return not self.judgement.violations and not self.judgement.corrupted_sessions and self.drained

    @property
    def fence_tried(self) -> bool:
        """Return whether each of the late writes that were meant to come did come, and was refused."""
        return bool(self.late_writes) and all(one.tried and one.refused for one in self.late_writes)

    def document(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return {
            **asdict(self),
            "elections_per_minute": self.elections_per_minute,
            "highest_lag": self.highest_lag,
            "failed_claims": self.failed_claims,
            "holds": self.holds,
        }


def _most_within(moments: Sequence[float], seconds: float) -> int:
    """Return how many of the moments, which are in order, lie within so many seconds at most."""
    return max(sum(begin <= moment < begin + seconds for moment in moments) for begin in moments)


async def run_drill(plan: DrillPlan, settings: Settings, clock: Clock, tell: Callable[[str], None]) -> DrillReport:
    """Carry out a drill and return its report.

    Raises `DrillFailed`, or `ServerMissing` where a server is not installed.
    """
    tell("starting " + ("workers on embedded backends" if plan.embedded else "RabbitMQ, Redis, PostgreSQL and workers"))
    variables = {"JOBKIT_LEASE_TTL": str(settings.lease_ttl), "JOBKIT_LEASE_GUARD": str(settings.lease_guard)}
    async with open_site(variables, embedded=plan.embedded, broken=plan.broken) as site:
        urls = {f"{plane}_url": SecretStr(site.urls[plane]) for plane in PLANES}
        direct = settings.model_copy(update={**urls, "blobs_url": SecretStr(site.blobs)})
        async with open_planes(direct, clock) as planes:
            return await _drill(plan, direct, clock, tell, site, planes)


async def _drill(
    plan: DrillPlan, settings: Settings, clock: Clock, tell: Callable[[str], None], site: Site, planes: Planes
) -> DrillReport:
    await _settled(planes, site, clock, settings.partitions)
    client = Client(planes, Registry(plugin.processors(plan.broken)), settings, clock)
    traffic = Traffic(plan.rate, random.Random(plan.seed))  # noqa: S311  (a schedule, not secrets)
    script = script_for(settings.lease_ttl, embedded=plan.embedded, scale=plan.scale, lose=plan.lose)
    trial = FenceTrial(planes, site, settings, clock)
    watch = Watch(planes, site, clock, trial, clock.now())
    began, phases = clock.wall(), dict[Phase, float]()

    async def say(phase: Phase, what: str) -> None:
        watch.phase = phase
        phases[phase] = clock.now() - watch.began
        tell(f"{phases[phase]:5.0f} s  {phase.value}: {what}")

    led = await _led(planes, site, LOST_REGION if plan.lose is Loss.REGION else "far")
    outage = script.seconds_of(Phase.PARTITIONED, Phase.PAUSED, Phase.LOST)
    await traffic.begin_lectures(client, led, settings.partitions, outage + _LECTURE_MARGIN_SECONDS)
    if plan.lose is None:
        await trial.begin(client)
    ticks = Ticks()
    await ticks.begin(client)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch.run)
        tasks.start_soon(_show_forever, watch, clock, tell)
        async with anyio.create_task_group() as submitting:
            submitting.start_soon(traffic.run, client, clock)
            await perform(script, Scene(site, planes.coordinator, clock, trial, plan.lose), say)
            traffic.stopping = True
            trial.release()
        tell("no more events: the backlog drains")
        await ticks.end(planes, clock)
        drained = await _drained(planes, clock)
        tasks.cancel_scope.cancel()
    tell("reading what was committed")
    judgement = await judge(planes, site, traffic.sessions, [*traffic.lectures, *trial.names], ticks)
    _check_alive(site)
    return DrillReport(
        plan,
        script,
        began,
        phases,
        watch.samples,
        watch.elections,
        watch.missed,
        traffic.unanswered,
        _healed_after(watch.samples, phases[Phase.HEALED]),
        drained,
        trial.outcomes,
        replace(judgement, violations=[*judgement.violations, *_taken(trial.outcomes)]),
    )


def _taken(late: Sequence[LateWrite]) -> Iterator[DrillViolation]:
    """Find late writes that the store took."""
    for one in late:
        if one.tried and not one.refused:
            yield DrillViolation(Invariant.FENCING, one.lateness, "a write took effect under a lost lease")


async def _settled(planes: Planes, site: Site, clock: Clock, partitions: int) -> None:
    """Wait until every partition is led, and the workers share them evenly."""
    deadline = clock.now() + _SETTLE_SECONDS
    while True:
        _check_alive(site)
        leases = await planes.coordinator.leases("leader/")
        members = await planes.coordinator.members()
        shares = {member.owner: sum(lease.owner == member.owner for lease in leases) for member in members}
        even = len(members) == len(site.workers) and max(shares.values()) - min(shares.values()) <= len(plugin.TYPES)
        if even and len(leases) == partitions * len(plugin.TYPES):
            return
        if clock.now() > deadline:
            raise DrillFailed(f"the workers did not share the partitions within {_SETTLE_SECONDS:g} s: {shares}")
        await clock.sleep(_POLL_SECONDS)


async def _led(planes: Planes, site: Site, region: str) -> list[int]:
    """Return the partitions of transcodes that a region leads."""
    pids = {str(worker.process.pid) for worker in site.of(region)}
    prefix = f"leader/{plugin.TRANSCODE}/"
    leases = await planes.coordinator.leases(prefix)
    return [int(lease.resource.removeprefix(prefix)) for lease in leases if lease.owner.split(":")[-2] in pids]


def _check_alive(site: Site) -> None:
    for worker in site.workers:
        code = worker.process.poll()
        if code is not None and not worker.lost:
            raise DrillFailed(f"worker {worker.name} ended with {code}; it said:\n{log_tail(worker)}")


async def _drained(planes: Planes, clock: Clock) -> bool:
    """Wait until no work is left; return whether that happened in time."""
    deadline = clock.now() + _DRAIN_SECONDS
    while clock.now() < deadline:
        counts = await planes.inspection.counts()
        waiting = sum(depth.ready for depth in await planes.broker.depths())
        if not (counts.outbox or counts.shelved or counts.parked or waiting):
            return True
        await clock.sleep(_POLL_SECONDS)
    return False


def _healed_after(samples: list[Sample], healed: float) -> float | None:
    """Return how long after the heal the lag was normal, for some looks one after another; None where it never was."""
    after = [sample for sample in samples if sample.at >= healed]
    for start in range(len(after) - _NORMAL_LOOKS + 1):
        if all(sample.lag <= NORMAL_LAG_SECONDS for sample in after[start : start + _NORMAL_LOOKS]):
            return after[start].at - healed
    return None


async def _show_forever(watch: Watch, clock: Clock, tell: Callable[[str], None]) -> None:
    while True:
        await clock.sleep(5.0)
        if watch.samples:
            now = watch.samples[-1]
            tell(
                f"{now.at:5.0f} s  {now.committed} committed, lag {now.lag:.2f} s, {now.elections} elections, "
                f"{now.failed_claims} failed claims, {now.stale_writes} stale writes refused"
            )
