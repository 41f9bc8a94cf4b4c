"""Logs of a simulation that are not kept for ever, and what must hold of what is dropped and of the projections."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider
from pydantic import BaseModel

from jobkit import Projection
from jobkit.backends.sqlite.engine import EnginePlane
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.leases import Keeper, LeaseTerms
from jobkit.plugin.log_retention import LogRetention
from jobkit.ports.inspection import KeyRecord, LoggedEntry
from jobkit.projections.rebuild import Rebuilder, RebuildOutcome
from jobkit.telemetry import Telemetry
from jobkit.testing.virtual_time import VirtualClock, running_loop
from simulation.events import Event, Trimmed, Unrebuilt
from simulation.expectation import Truth, Violation
from simulation.history import Journal
from simulation.work import LOOSE, ORDERED

if TYPE_CHECKING:
    from simulation.world import World

# Workers look at their logs about once in so many seconds.
TRIM_EVERY = 4.0
# For how many seconds the entries of each type are kept in any case.
TRIMMED = {ORDERED: 0.0, LOOSE: 8.0}
RETENTION: dict[str, LogRetention] = {ORDERED: "snapshot", LOOSE: timedelta(seconds=TRIMMED[LOOSE])}
_ROUNDING = 1e-6


class Tally(BaseModel):
    """What a log adds up to; in another order it would be another sum."""

    count: int = 0
    sum: int = 0


class _Done(BaseModel):
    number: int


def _tally(name: str, snapshot_every: int) -> Projection[Tally]:
    projection = Projection(name, Tally, snapshot_every=snapshot_every)

    @projection.on("done")
    def add(tally: Tally, done: _Done) -> Tally:
        return Tally(count=tally.count + 1, sum=(tally.sum * 31 + done.number + 1) % 1_000_003)

    return projection


_EVERY = {"often": 2, "seldom": 3}
PROJECTIONS = [_tally(name, every) for name, every in _EVERY.items()]


@dataclass(frozen=True, slots=True)
class Dropped:
    """An entry that was dropped from a log, and up to where the snapshots were there that a rebuild can begin at."""

    entry: LoggedEntry
    snapshots: tuple[int, ...]


class DroppedEntries:
    """The witness of what is dropped: the database itself notes it, whoever does it."""

    def __init__(self, store: EnginePlane) -> None:
        self._store = store

    async def watch(self) -> None:
        """Have the database note from now on what is dropped."""
        await self._store.write(_watch)

    async def found(self) -> Mapping[str, Sequence[Dropped]]:
        """Return what was dropped, by the resource in whose log it was."""
        return await self._store.read(_found)

    async def entries(self) -> Mapping[str, Sequence[LoggedEntry]]:
        """Return the entries themselves."""
        return {resource: [one.entry for one in gone] for resource, gone in (await self.found()).items()}

    async def lose_projection(self, rng: random.Random) -> None:
        """Lose what is kept of one projection of some key; its snapshot is left."""
        await self._store.write(_lose_projections, rng)

    async def lose_projections(self) -> None:
        """Lose all of them."""
        await self._store.write(_lose_projections)


_SNAPSHOT = "SELECT value FROM records WHERE type = OLD.type AND key = OLD.key AND name = 'snapshot:{name}'"
_WATCH = """
    CREATE TRIGGER dropping AFTER DELETE ON log BEGIN
    INSERT INTO dropped VALUES (OLD.type, OLD.key, OLD.position, OLD.kind, OLD.data, OLD.job_id, OLD.sequence,
                                OLD.token, OLD.at, {snapshots});
    END
"""


def _watch(transaction: Transaction) -> None:
    transaction.execute(
        "CREATE TABLE dropped (type, key, position, kind, data, job_id, sequence, token, at, often, seldom)"
    )
    snapshots = ", ".join(f"({_SNAPSHOT.format(name=name)})" for name in _EVERY)
    transaction.execute(_WATCH.format(snapshots=snapshots))


def _found(transaction: Transaction) -> Mapping[str, Sequence[Dropped]]:
    found: dict[str, list[Dropped]] = defaultdict(list)
    for type, key, *entry, often, seldom in transaction.execute("SELECT * FROM dropped ORDER BY rowid").fetchall():
        positions = [0 if value is None else json.loads(value)["position"] for value in (often, seldom)]
        found[f"{type}/{key}"].append(Dropped(LoggedEntry(*entry), tuple(positions)))
    return found


def _lose_projections(transaction: Transaction, rng: random.Random | None = None) -> None:
    kept = "SELECT type, key, name FROM records WHERE name GLOB 'projection:*' ORDER BY type, key, name"
    rows = transaction.execute(kept).fetchall()
    for row in rows if rng is None else rng.choices(rows, k=min(1, len(rows))):
        transaction.execute("DELETE FROM records WHERE type = ? AND key = ? AND name = ?", row)


async def lose_and_rebuild(world: World) -> None:
    """Lose a projection now and then, and have somebody rebuild all of them, among everything else."""
    rng = random.Random(f"rebuilder {world.seed}")
    while True:
        await anyio.sleep(rng.uniform(1.0, 8.0))
        await world.dropped.lose_projection(rng)
        if rng.random() < 0.3:
            await rebuild(world, from_start=rng.random() < 0.5)


async def rebuild(world: World, *, from_start: bool = False, patience: float = 1.0) -> None:
    """Rebuild all projections, as `jobkit rebuild` does, and note what cannot be."""
    clock = VirtualClock()
    keeper = Keeper(
        world.backend.coordinator,
        owner="rebuilder",
        terms=LeaseTerms.of(world.settings),
        clock=clock,
        rng=random.Random(0),
        telemetry=Telemetry(
            meters=NoOpMeterProvider(), tracers=NoOpTracerProvider(), log=Journal(world.history, "rebuilder")
        ),
    )
    async with anyio.create_task_group() as running:
        running.start_soon(keeper.run)
        rebuilder = Rebuilder(world.backend, keeper, clock, from_start=from_start, patience=patience)
        for type in TRIMMED:
            async for one in rebuilder.run(type, PROJECTIONS):
                if one.outcome is RebuildOutcome.FAILED:
                    resource = f"{one.type}/{one.key}"
                    world.history.add(Unrebuilt(running_loop().time(), resource, one.projection, one.problem))
        running.cancel_scope.cancel()


def untrimmed(keys: Sequence[KeyRecord]) -> Iterator[str]:
    """Yield which logs are longer than they have to be, once nothing is too young to go."""
    for key in [key for key in keys if key.type in TRIMMED]:
        needed = min(key.log_length // every * every for every in _EVERY.values())
        if key.log_trimmed < needed:
            yield f"entries {key.log_trimmed + 1} to {needed} of the log of {key.type}/{key.key}"


@dataclass(frozen=True, slots=True)
class Trimmings:
    """What was dropped in a run, and the projections as the jobs left them and, once they were lost, as rebuilt.

    `epoch` is what the store's clock says at the time 0 of the loop.
    """

    dropped: Mapping[str, Sequence[Dropped]]
    kept: Mapping[tuple[str, str], bytes]
    rebuilt: Mapping[tuple[str, str], bytes]
    epoch: float


async def trimmings_of(world: World) -> Trimmings:
    """Look at what there is once all is over; lose each projection, and rebuild it from what is left."""
    dropped, kept = await world.dropped.found(), await _kept(world)
    await world.dropped.lose_projections()
    # Whoever died may still hold a lease.
    await rebuild(world, patience=4 * world.settings.lease_ttl)
    return Trimmings(dropped, kept, await _kept(world), world.wall_time(0.0))


async def _kept(world: World) -> Mapping[tuple[str, str], bytes]:
    return {
        (f"{key.type}/{key.key}", projection.name): raw
        for key in await world.backend.inspection.keys(limit=100_000)
        for projection in PROJECTIONS
        if (raw := await world.backend.store.record(key.type, key.key, projection.record)) is not None
    }


def never_unrebuilt(events: Sequence[Event]) -> Iterator[Violation]:
    """Whatever was dropped, each projection can be rebuilt at any time."""
    for event in events:
        if isinstance(event, Unrebuilt):
            yield Violation("projections", f"{event.projection} of {event.resource}: {event.problem}", event.at)


def nothing_missed(events: Sequence[Event], truth: Truth, trimmings: Trimmings) -> Iterator[Violation]:
    """Nothing was dropped too early, and each projection is what all entries that there ever were add up to."""
    yield from _not_too_early(trimmings)
    yield from _not_too_young(events, trimmings)
    for key in truth.keys:
        resource = f"{key.type}/{key.key}"
        log, gone = truth.logs[resource], len(trimmings.dropped.get(resource, ()))
        if [entry.position for entry in log] != list(range(1, key.log_length + 1)) or gone != key.log_trimmed:
            yield Violation("projections", f"the log of {resource} has a hole, or {gone} went: {key}")
        for name in _EVERY if key.type in TRIMMED else ():
            for kept, is_whole in ((trimmings.kept, False), (trimmings.rebuilt, True)):
                raw = kept.get((resource, name))
                if (raw is None and is_whole and log) or (raw is not None and not _adds_up(raw, log)):
                    yield Violation("projections", f"{name} of {resource} is {raw!r} after {len(log)} entries")


def _not_too_early(trimmings: Trimmings) -> Iterator[Violation]:
    for resource, gone in trimmings.dropped.items():
        for one in gone:
            if one.entry.position > min(one.snapshots):
                detail = f"entry {one.entry.position} of {resource} went, with snapshots at {one.snapshots}"
                yield Violation("projections", detail)


def _not_too_young(events: Sequence[Event], trimmings: Trimmings) -> Iterator[Violation]:
    gone: Counter[str] = Counter()
    for event in events:
        if isinstance(event, Trimmed):
            first, gone[event.resource] = gone[event.resource], gone[event.resource] + event.entries
            for one in trimmings.dropped.get(event.resource, ())[first : gone[event.resource]]:
                age = event.at + trimmings.epoch - one.entry.at
                if age < TRIMMED[event.resource.partition("/")[0]] - _ROUNDING:
                    yield Violation(
                        "log retention", f"{one.entry} of {event.resource} went after {age:.3f} s", event.at
                    )


def _adds_up(raw: bytes, log: Sequence[LoggedEntry]) -> bool:
    """Return whether a projection's record is of the whole log, and what that adds up to: without any projection."""
    kept, sum = json.loads(raw), 0
    for entry in log:
        sum = (sum * 31 + json.loads(entry.data)["number"] + 1) % 1_000_003
    return bool(kept["position"] == len(log) and kept["state"] == {"count": len(log), "sum": sum})
