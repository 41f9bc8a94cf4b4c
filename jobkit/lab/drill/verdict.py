"""What the drill did: read from what was committed, and from what the processors wrote as they ran."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jobkit.lab.drill.environment import Site, WorkerProcess
from jobkit.lab.drill.plugin import TRANSCODE, UPLOAD, session
from jobkit.lab.drill.ticks import TickCount, Ticks
from jobkit.model.invariant import Invariant
from jobkit.ports.inspection import LoggedEntry
from jobkit.ports.planes import Planes
from jobkit.projections.log_reader import log_pages

_MOST_DEAD = 1_000
# A process that was paused needs a moment to notice that its lease is over; one that was not may only be a little late.
_NOTICE_SECONDS = 2.0
_LATE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class DrillViolation:
    """An invariant that broke: its name, where, what, and when in Unix seconds (0 where that is not known)."""

    invariant: Invariant
    where: str
    what: str
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of the traffic. Counts are of events, transcodes and sessions, as the incident's are, and of ticks."""

    events: int
    duplicate_events: int
    events_out_of_order: int
    events_lost: int
    sessions: int
    corrupted_sessions: int
    transcodes: int
    transcoded_twice: int
    dead_letters: int
    violations: Sequence[DrillViolation]
    ticks: TickCount = field(default_factory=TickCount)


@dataclass(frozen=True, slots=True)
class _Session:
    name: str
    duplicates: list[DrillViolation]
    disorder: list[DrillViolation]
    lost: int
    corrupted: bool
    transcodes: int
    twice: list[DrillViolation]


async def judge(
    planes: Planes,
    site: Site,
    submitted: Mapping[str, int],
    lectures: Sequence[str] = (),
    ticks: Ticks | None = None,
) -> Judgement:
    """Read everything; `submitted` are the chunks of each session whose events were all submitted.

    `lectures` are videos that belong to no session, `ticks` those of the schedule.

    Raises `Unavailable`.
    """
    sessions = [await _session(planes, name, chunks) for name, chunks in submitted.items()]
    dead = await planes.inspection.dead(limit=_MOST_DEAD)
    violations = [found for one in sessions for found in (*one.duplicates, *one.disorder, *one.twice)]
    violations += [
        DrillViolation(Invariant.NOTHING_LOST, one.name, f"{one.lost} events never took effect")
        for one in sessions
        if one.lost
    ]
    violations += [
        DrillViolation(Invariant.NOTHING_LOST, letter.key or "", f"dead-lettered: {letter.reason}", letter.died_at)
        for letter in dead
    ]
    alone = {name: await _made(planes, name) for name in lectures}
    violations += [found for name, made in alone.items() for found in _made_twice(name, made)]
    violations += [
        DrillViolation(Invariant.NOTHING_LOST, name, "was never transcoded") for name, made in alone.items() if not made
    ]
    violations += _two_at_once(site)
    violations += _two_leaders(site)
    counted = await ticks.count(planes) if ticks is not None else TickCount()
    violations += _not_once(counted)
    return Judgement(
        events=sum(chunks + 2 for chunks in submitted.values()),
        duplicate_events=sum(len(one.duplicates) for one in sessions),
        events_out_of_order=sum(len(one.disorder) for one in sessions),
        events_lost=sum(one.lost for one in sessions),
        sessions=len(sessions),
        corrupted_sessions=sum(one.corrupted for one in sessions),
        transcodes=sum(one.transcodes for one in sessions) + sum(map(len, alone.values())),
        transcoded_twice=sum(bool(one.twice) for one in sessions) + sum(len(made) > 1 for made in alone.values()),
        dead_letters=len(dead),
        violations=violations,
        ticks=counted,
    )


def _not_once(counted: TickCount) -> Iterator[DrillViolation]:
    for id in counted.twice:
        yield DrillViolation(Invariant.SINGLE_EFFECT, id, "the tick fired again, or was not to")
    for id in counted.never:
        yield DrillViolation(Invariant.NOTHING_LOST, id, "the tick never fired")


async def _session(planes: Planes, name: str, chunks: int) -> _Session:
    duplicates, disorder = [], []
    seen: set[int] = set()
    highest = 0
    async for entry in _log(planes, UPLOAD, name):
        number = json.loads(entry.data)["number"]
        if number in seen:
            duplicates.append(
                DrillViolation(Invariant.SINGLE_EFFECT, name, f"event {number} took effect again", entry.at)
            )
        elif number < highest:
            disorder.append(
                DrillViolation(Invariant.ORDER, name, f"event {number} took effect after {highest}", entry.at)
            )
        seen.add(number)
        highest = max(highest, number)
    kept = session.load(await planes.store.record(UPLOAD, name, session.record))
    wrong = kept is None or not kept.state.finished or kept.state.chunks_at_end != chunks or kept.state.chunks != chunks
    made = await _made(planes, name)
    return _Session(name, duplicates, disorder, chunks + 2 - len(seen), wrong, len(made), _made_twice(name, made))


async def _made(planes: Planes, name: str) -> list[LoggedEntry]:
    return [entry async for entry in _log(planes, TRANSCODE, name)]


def _made_twice(name: str, made: Sequence[LoggedEntry]) -> list[DrillViolation]:
    return [
        DrillViolation(Invariant.SINGLE_EFFECT, name, f"transcoded again, by {json.loads(entry.data)['by']}", entry.at)
        for entry in made[1:]
    ]


async def _log(planes: Planes, type: str, key: str) -> AsyncIterator[LoggedEntry]:
    async for page in log_pages(planes.inspection, type, key):
        for entry in page:
            yield entry


@dataclass(frozen=True, slots=True)
class _Run:
    pid: int
    job: str
    began: float
    ended: float


def _two_at_once(site: Site) -> Iterator[DrillViolation]:
    """Find runs on one key that overlap while both processes could have known better."""
    awake = {worker.process.pid: worker for worker in site.workers}
    for (type, key), runs in _runs(site).items():
        runs.sort(key=lambda run: run.began)
        for before, after in itertools.pairwise(runs):
            if before.pid == after.pid or after.began >= before.ended:
                continue
            resumed = _resumed(awake.get(before.pid), after.began)
            until = after.began + _LATE_SECONDS if resumed is None else resumed + _NOTICE_SECONDS
            if min(before.ended, after.ended) > until:
                what = f"processes {before.pid} and {after.pid} ran jobs {before.job} and {after.job} at the same time"
                yield DrillViolation(Invariant.NO_LEASE_NO_WORK, f"{type}/{key}", what)


def _two_leaders(site: Site) -> Iterator[DrillViolation]:
    """Find partitions that two workers led at the same time, by what they said themselves."""
    told: set[str] = set()
    for worker in site.workers:
        # They still run, so the last line may not be whole yet.
        said = worker.log.read_text(errors="replace").rpartition("\n")[0] if worker.log.exists() else ""
        for line in said.splitlines():
            if '"two_leaders"' not in line:
                continue
            case = json.loads(line)
            if case["resource"] not in told:
                told.add(case["resource"])
                what = f"{case['worker']} and {case['other']} led it at the same time"
                at = datetime.fromisoformat(case["timestamp"]).timestamp()
                yield DrillViolation(Invariant.NO_LEASE_NO_WORK, case["resource"], what, at)


def _resumed(worker: WorkerProcess | None, moment: float) -> float | None:
    """Return when a process that was stopped at that moment went on, or None where it was not."""
    spans = worker.stopped if worker is not None else []
    return next((end for begin, end in spans if begin <= moment < end), None)


def _runs(site: Site) -> dict[tuple[str, str], list[_Run]]:
    begun: dict[str, dict[str, Any]] = {}
    runs: defaultdict[tuple[str, str], list[_Run]] = defaultdict(list)
    for line in site.trace.read_text().splitlines() if site.trace.exists() else ():
        entry = json.loads(line)
        if entry["what"] == "begin":
            begun[entry["run"]] = entry
        elif (first := begun.pop(entry["run"], None)) is not None:
            runs[entry["type"], entry["key"]].append(_Run(entry["pid"], entry["job"], first["at"], entry["at"]))
    return runs
