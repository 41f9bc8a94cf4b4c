"""The overview: what needs a person, what waits, who works, and how the last hour went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobkit.model.pause import Pause
from jobkit.model.plane import Plane
from jobkit.ports.adrift import oldest_waiting
from jobkit.ports.broker import QueueDepth
from jobkit.ports.coordinator import LeaseInfo, Member
from jobkit.ports.inspection import JobState, ParkedKey, StoreCounts
from jobkit.ports.store import Store
from jobkit.web.charts import Chart, known
from jobkit.web.page import Backstage, Page, View
from jobkit.web.pages.away import told
from jobkit.web.rendering import NOTHING, span

# Two coordinators within so many seconds: some workers do not know of the leases of others.
_COORDINATORS_WITHIN = 60.0
# So many jobs of a type are looked at, a page at a time, for the oldest that waits.
_LOOKED_AT = 100
_STATES = (
    *(JobState.SCHEDULED, JobState.QUEUED, JobState.RUNNING, JobState.PARKED),
    *(JobState.COMMITTED, JobState.DEAD, JobState.CANCELLED, JobState.EXPIRED),
)


# So many keys that stand still are counted.
_GAPS = 200


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that a person should look at: the name of its alert, what is so, and where there is more."""

    alert: str
    text: str
    path: str
    grave: bool = True


@dataclass(frozen=True, slots=True)
class TypeRow:
    """One job type: what waits in its queues, what runs, and who serves it."""

    type: str
    waiting: int
    oldest: float | None
    delayed: int
    running: int
    workers: int
    led: int
    partitions: int
    paused: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What the planes told."""

    counts: StoreCounts
    gaps: Sequence[ParkedKey]
    pauses: Sequence[Pause]
    coordinators: Sequence[str]
    depths: Sequence[QueueDepth]
    members: Sequence[Member]
    leases: Sequence[LeaseInfo]
    away: dict[Plane, str]
    oldest: Mapping[str, float]


async def make(view: View) -> Page:
    """Return the overview."""
    seen = await look(view.backstage)
    history = view.backstage.history
    rates = history.rates(lambda sample: sample.counts.jobs[JobState.COMMITTED])
    failed = history.rates(lambda sample: sample.counts.jobs[JobState.DEAD])
    waiting = history.levels(lambda sample: sample.waiting)
    lags = history.levels(lambda sample: sample.lag)
    elected = history.rates(lambda sample: sample.elections)
    running = history.levels(lambda sample: sample.counts.jobs[JobState.RUNNING])
    charts = [
        Chart("Done per second", f"{rates[-1]:.1f}" if rates else NOTHING, rates),
        Chart("Waiting", f"{waiting[-1]:,.0f}" if waiting else NOTHING, waiting),
        Chart("Running", f"{running[-1]:,.0f}" if running else NOTHING, running),
        Chart("Oldest has waited", span(lags[-1]) if lags and waiting[-1] else NOTHING, known(lags)),
        Chart(
            "New leaders per minute", f"{60 * elected[-1]:.1f}" if elected else NOTHING, [60 * one for one in elected]
        ),
        Chart("Given up per minute", f"{60 * failed[-1]:.1f}" if failed else NOTHING, [60 * rate for rate in failed]),
    ]
    return Page(
        "overview.html",
        "Overview",
        {
            "attention": _attention(seen),
            "states": [(state.value, seen.counts.jobs[state]) for state in _STATES],
            "types": _types(seen),
            "charts": charts,
            "charted": history.span,
            "counts": seen.counts,
            "workers": len(seen.members),
            "away": {plane.value for plane in seen.away},
        },
    )


async def look(backstage: Backstage) -> Seen:
    """Return what the overview shows, as it was seen a moment ago, and keep it for the charts. Raises `Unavailable`."""
    return await backstage.looks.look("overview", lambda: _look(backstage))


async def _look(backstage: Backstage) -> Seen:
    planes, away = backstage.planes, dict[Plane, str]()
    counts = await planes.inspection.counts()
    depths = await told(planes.broker.depths(), (), Plane.BROKER, away)
    leases = await told(planes.coordinator.leases(), (), Plane.COORDINATOR, away)
    oldest = await _oldest(planes.store, depths)
    lag = None if Plane.BROKER in away else max((backstage.clock.wall() - at for at in oldest.values()), default=0.0)
    leading = {(one.resource, one.token) for one in leases if one.resource.startswith("leader/")}
    backstage.history.note(counts, lag=lag, leaders=None if Plane.COORDINATOR in away else leading)
    return Seen(
        counts,
        await planes.inspection.gaps(limit=_GAPS + 1) if counts.parked else (),
        await planes.store.pauses(),
        await planes.inspection.coordinators(within=_COORDINATORS_WITHIN),
        depths,
        await told(planes.coordinator.members(), (), Plane.COORDINATOR, away),
        leases,
        away,
        oldest,
    )


async def _oldest(store: Store, depths: Sequence[QueueDepth]) -> Mapping[str, float]:
    """Return when the oldest job was submitted of each type that has some in queues."""
    types = sorted({depth.partition.type for depth in depths if depth.ready})
    return {type: at for type in types if (at := await oldest_waiting(store, type, at_once=_LOOKED_AT)) is not None}


def _types(seen: Seen) -> list[TypeRow]:
    waiting: Counter[str] = Counter()
    delayed: Counter[str] = Counter()
    partitions: Counter[str] = Counter()
    for depth in seen.depths:
        waiting[depth.partition.type] += depth.ready
        delayed[depth.partition.type] += depth.delayed
        partitions[depth.partition.type] += 1
    held = [lease.resource.split("/") for lease in seen.leases]
    running = Counter(parts[0] for parts in held if parts[0] != "leader")
    led = Counter(parts[1] for parts in held if parts[0] == "leader" and len(parts) > 1)
    served = Counter(type for member in seen.members for type in member.types)
    paused = {pause.scope.type for pause in seen.pauses}
    return [
        TypeRow(
            type,
            waiting[type],
            seen.oldest.get(type),
            delayed[type],
            running[type],
            served[type],
            led[type],
            partitions[type],
            type in paused,
        )
        for type in sorted({*waiting, *served, *paused})
    ]


def _jobs_wait(count: int, which: str = "") -> str:
    return f"1 job{which} waits" if count == 1 else f"{count:,} jobs{which} wait"


def _attention(seen: Seen) -> list[Attention]:
    found = [
        Attention(f"jobkit_{plane.value}_unreachable", f"The {plane.value} is out of reach: {error}", "/checks")
        for plane, error in seen.away.items()
    ]
    if len(seen.coordinators) > 1:
        names = ", ".join(seen.coordinators)
        text = f"Workers keep their leases in {len(seen.coordinators)} places at once ({names})."
        found.append(Attention("split_brain_detected", text, "/checks"))
    if Plane.COORDINATOR not in seen.away:
        for row in _types(seen):
            if (row.waiting or row.delayed) and not row.workers:
                text = f"No worker serves {row.type}, and {_jobs_wait(row.waiting, ' of it')}."
                found.append(Attention("jobkit_worker_down", text, "/workers"))
    if seen.gaps:
        many = f"more than {_GAPS:,}" if len(seen.gaps) > _GAPS else f"{len(seen.gaps):,}"
        stand = "1 key stands" if len(seen.gaps) == 1 else f"{many} keys stand"
        text = f"{stand} still behind a missing job; {_jobs_wait(seen.counts.parked)} behind it."
        found.append(Attention("jobkit_parked_keys", text, "/steering#gaps"))
    if dead := seen.counts.dead:
        text = "A job was given up." if dead == 1 else f"{dead:,} jobs were given up."
        found.append(Attention("jobkit_dead_letters", text, "/dead"))
    for pause in seen.pauses:
        text = f"{pause.scope} is paused by {pause.by}" + (f": {pause.reason}" if pause.reason else ".")
        found.append(Attention("jobkit_pause", text, "/steering#pauses", grave=False))
    return found
