"""`jobkit sweep`: remove the bytes that no manifest points at, on a live system, while jobs run.

It does not go by age, and it does not ask who is alive. It removes an object only where the store has made it
impossible for any commit to point at it, now or later:

1. An object's location says under which fence (token and nonce) it was written, and a commit names only objects of its
   own attempt, and those that the manifest points at already. So one that it does not point at can become visible only
   by a commit under that fence.
2. The store takes a commit only under the key's mark. The mark never falls, and a token's first nonce is its only one.
   So an object with a token below the mark, or with the mark's token and another nonce, can never become visible. Where
   the manifest does not point at it either, it is garbage, for good: there is nothing left to race with.
   Nor by way of a step: what a job keeps is taken under the mark as well, and of what it kept under an earlier one the
   files are looked at after the mark, and before the manifest: so whatever moved on from one to the other is seen.
3. A fence is of one run of one job. Objects under the mark itself are garbage where no job of the key that has yet to
   end is held under that token. That is looked at after the object was listed and before the manifest is read: a commit
   in between is seen in the manifest, and whoever begins later writes under a fence of its own, hence elsewhere.

All else is kept: objects of a token above the mark, and files that do not lie where jobkit writes. Objects of keys that
the store knows nothing of are counted, and removed only where that is asked for: an empty or wrong store knows nothing.
One place for objects belongs to one store; this cannot find out that two share one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum

import anyio

from jobkit.model.blob_location import Place, keyed, place_of, unquoted
from jobkit.model.names import folded
from jobkit.ports.blobs import Leftover, StoredObject
from jobkit.ports.inspection import JobState, KeyRecord
from jobkit.ports.planes import Planes
from jobkit.projections.log_reader import all_keys

_PAGE = 1000
# Keys that are looked up side by side.
_KEYS_AT_ONCE = 16
# Objects of one key that are judged together: what is in memory is bounded by this and the line above.
_JUDGED_TOGETHER = 5_000


class Kind(StrEnum):
    """What is removed."""

    OBJECT = "object"
    UPLOAD = "unfinished upload"
    SCRATCH = "scratch of a dead process"


@dataclass(slots=True)
class Tally:
    """How many there are, and their bytes."""

    count: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        """Count one more."""
        self.count += 1
        self.bytes += size


@dataclass(frozen=True, slots=True)
class Swept:
    """What was found. `garbage` is by job type (None: of no type) and kind; it is gone where that was asked for.

    `kept` are in use, or may be soon; `unknown` are of keys that the store does not know; `foreign` are not jobkit's.
    """

    garbage: dict[tuple[str | None, Kind], Tally] = field(default_factory=lambda: defaultdict(Tally))
    kept: Tally = field(default_factory=Tally)
    unknown: Tally = field(default_factory=Tally)
    foreign: Tally = field(default_factory=Tally)

    @property
    def read(self) -> int:
        """How many objects and leftovers were looked at."""
        removed = sum(tally.count for tally in self.garbage.values())
        return removed + self.kept.count + self.unknown.count + self.foreign.count


@dataclass(frozen=True, slots=True)
class _Candidate:
    place: Place
    item: StoredObject | Leftover


async def sweep(
    planes: Planes, *, remove: bool = False, unknown_keys: bool = False, tell: Callable[[Swept], None] | None = None
) -> Swept:
    """Find garbage, and `remove` it; `unknown_keys`: that of keys which the store does not know, too.

    `tell` is called now and then with what was found so far. Raises `Unavailable` or `ConfigurationError`; what was
    removed by then stays removed, and sweeping again goes on from there.
    """
    sweeper = _Sweeper(planes, remove=remove, unknown_keys=unknown_keys)
    waiting: list[Sequence[_Candidate]] = []
    for listing in (planes.blobs.objects(), planes.blobs.leftovers()):
        async for group in _by_key(sweeper.ours(listing)):
            waiting.append(group)
            if len(waiting) == _KEYS_AT_ONCE:
                await sweeper.judge_all(waiting)
                waiting.clear()
                if tell is not None:
                    tell(sweeper.swept)
    await sweeper.judge_all(waiting)
    return sweeper.swept


async def _by_key(candidates: AsyncIterator[_Candidate]) -> AsyncIterator[Sequence[_Candidate]]:
    """Yield those side by side that are of one key, a bounded number at once."""
    group: list[_Candidate] = []
    async for candidate in candidates:
        if group and (group[0].place.keyed != candidate.place.keyed or len(group) == _JUDGED_TOGETHER):
            yield group
            group = []
        group.append(candidate)
    if group:
        yield group


class _Sweeper:
    """One sweep: what it may do, and what it has found."""

    def __init__(self, planes: Planes, *, remove: bool, unknown_keys: bool) -> None:
        self._planes = planes
        self._remove = remove
        self._unknown_keys = unknown_keys
        self._shortened: dict[str, tuple[str, str]] | None = None
        self._scanning = anyio.Lock()
        self.swept = Swept()

    async def ours(self, listing: AsyncIterator[StoredObject] | AsyncIterator[Leftover]) -> AsyncIterator[_Candidate]:
        """Yield what lies where jobkit writes. The rest is dealt with here."""
        async for item in listing:
            place = None if item.location is None else place_of(item.location)
            if place is not None:
                yield _Candidate(place, item)
            elif isinstance(item, Leftover) and item.location is None:
                # Its writer is known to be dead, and it never was at a place where anybody would look.
                self.swept.garbage[None, Kind.SCRATCH].add(item.size)
                if self._remove:
                    await self._planes.blobs.discard([item])
            else:
                self.swept.foreign.add(item.size)

    async def judge_all(self, groups: Sequence[Sequence[_Candidate]]) -> None:
        """Deal with groups of candidates, each of one key, side by side."""
        try:
            async with anyio.create_task_group() as tasks:
                for group in groups:
                    tasks.start_soon(self._judge, group)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def _judge(self, group: Sequence[_Candidate]) -> None:
        named = await self._named(group[0].place.keyed)
        record = None if named is None else await self._planes.inspection.key(*named)
        if named is None or record is None:
            await self._settle_unknown(group)
            return
        kept, garbage, undecided = _judged(group, record)
        if garbage or undecided:
            at_work = await self._tokens_at_work(*named) if undecided else set()
            of_steps = await self._of_steps(*named, {folded(one.item.location or "") for one in group})
            # Read again: what was committed until just now is in this manifest. The mark may have moved on meanwhile,
            # which makes nothing garbage that was kept in a step since the first look.
            current = await self._planes.inspection.key(*named)
            if current is None:
                kept, garbage, undecided = [*group], [], []
            else:
                kept, garbage, undecided = _judged(group, record, of_steps, current)
            for candidate in undecided:
                held = at_work is None or candidate.place.token in at_work
                (kept if held else garbage).append(candidate)
        for candidate in kept:
            self.swept.kept.add(candidate.item.size)
        await self._sweep_away(garbage)

    async def _settle_unknown(self, group: Sequence[_Candidate]) -> None:
        if self._unknown_keys:
            await self._sweep_away(group)
            return
        for candidate in group:
            self.swept.unknown.add(candidate.item.size)

    async def _sweep_away(self, garbage: Sequence[_Candidate]) -> None:
        objects = [one.item.location for one in garbage if isinstance(one.item, StoredObject)]
        leftovers = [one.item for one in garbage if isinstance(one.item, Leftover)]
        if self._remove and objects:
            await self._planes.blobs.delete(objects)
        if self._remove and leftovers:
            await self._planes.blobs.discard(leftovers)
        for candidate in garbage:
            kind = Kind.OBJECT if isinstance(candidate.item, StoredObject) else Kind.UPLOAD
            part = candidate.place.keyed.partition("/")[0]
            text = unquoted(part)
            self.swept.garbage[part if text is None else text, kind].add(candidate.item.size)

    async def _of_steps(self, type: str, key: str, wanted: set[str]) -> set[str]:
        """Return those of the wanted locations, folded, whose objects are kept with a step of a job of the key."""
        found: set[str] = set()
        after: str | None = ""
        while after is not None:
            files, after = await self._planes.store.step_files(type, key, after=after)
            found |= {folded(blob.location) for blob in files} & wanted
        return found

    async def _tokens_at_work(self, type: str, key: str) -> set[int] | None:
        """Return the tokens under which jobs of a key are held that have yet to end; None where there are too many."""
        tokens = set()
        for state in (JobState.RUNNING, JobState.QUEUED, JobState.PARKED):
            jobs = await self._planes.inspection.jobs(type=type, key=key, state=state, limit=_PAGE)
            if len(jobs) == _PAGE:
                return None
            tokens |= {job.token for job in jobs if job.token is not None}
        return tokens

    async def _named(self, wanted: str) -> tuple[str, str] | None:
        """Return the type and key that a part of a location stands for; None where the store does not know it."""
        type, key = (unquoted(part) for part in wanted.split("/"))
        if type is not None and key is not None:
            return type, key
        # Long ones are shortened, which cannot be undone, but can be done again with all there are.
        async with self._scanning:
            if self._shortened is None:
                self._shortened = await self._scan()
        return self._shortened.get(wanted)

    async def _scan(self) -> dict[str, tuple[str, str]]:
        found = {}
        async for record in all_keys(self._planes.inspection):
            written = keyed(record.type, record.key)
            if "~" in written:
                found[written] = (record.type, record.key)
        return found


def _judged(
    group: Sequence[_Candidate],
    record: KeyRecord,
    of_steps: Set[str] = frozenset(),
    current: KeyRecord | None = None,
) -> tuple[list[_Candidate], list[_Candidate], list[_Candidate]]:
    """Return those to keep, those that can never become visible, and those under the mark, whose job decides.

    The mark is that of `record`; `current` is the key as it was read last. What is kept with a step is in `of_steps`.
    """
    # Some file systems give a name back in another case or encoding than it was written in.
    manifest = record.manifest if current is None else current.manifest
    pointed_at = of_steps | {folded(blob.location) for blob in manifest}
    kept, garbage, undecided = [], [], []
    for candidate in group:
        under_mark = candidate.place.is_under(record.token, record.nonce)
        # A leftover has a location here too, or it would be no candidate.
        if (
            folded(candidate.item.location or "") in pointed_at
            or candidate.place.token > record.token
            or under_mark is None
        ):
            kept.append(candidate)
        elif under_mark:
            undecided.append(candidate)
        else:
            garbage.append(candidate)
    return kept, garbage, undecided
