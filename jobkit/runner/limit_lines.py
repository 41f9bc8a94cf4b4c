"""Jobs of this process that wait for a limit: in a line for each bucket, of which only the first asks the coordinator.

A job that was refused stands in the line of what refused it, and holds neither a slot nor a lease there. So whatever
number waits, each process asks once for each release, and nobody waits behind a job that needs something else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from types import TracebackType

import anyio

from jobkit.model.limit import Limit
from jobkit.model.priority import Priority
from jobkit.ports.coordinator import Coordinator
from jobkit.ports.limits import Limited, Waiting
from jobkit.runner.next_in_line import Turns

# The first of a line asks again after so many seconds at the latest, whatever it was told, or not told.
_ASK_AGAIN_SECONDS = 10.0
# So many ids are told of each line.
_IDS_TOLD = 100


class LimitLines:
    """The lines of one process."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self._lines: dict[str, _Line] = {}

    def place(self, id: str, limits: Sequence[Limit], priority: Priority = Priority.NORMAL) -> Place:
        """Return a job's place, in no line yet; it leaves the one that it is in at the end of the block."""
        return Place(self, id, limits, priority)

    def __contains__(self, bucket: str) -> bool:
        """Return whether a job waits for a bucket."""
        return bucket in self._lines

    def in_line(self, bucket: str) -> Sequence[str]:
        """Return the ids of the jobs that wait for a bucket, the most urgent first, of those the first that came."""
        line = self._lines.get(bucket)
        return [] if line is None else [place.id for place in line]

    @property
    def keyed(self) -> list[Limit]:
        """The limits that jobs wait for while others of the same type may need other buckets."""
        firsts = [line.first.limit for line in self._lines.values()]
        return [limit for limit in firsts if limit is not None and limit.keyed]

    @property
    def numbers(self) -> dict[str, int]:
        """How many jobs wait for each limit, by its name."""
        found: Counter[str] = Counter()
        for bucket, line in self._lines.items():
            found[bucket.partition("/")[0]] += len(line)
        return found

    @property
    def ids(self) -> set[str]:
        """The ids of all jobs that wait."""
        return {place.id for line in self._lines.values() for place in line}

    def waiting(self, owner: str) -> list[Waiting]:
        """Return what waits, for people to look at."""
        return [Waiting(owner, bucket, len(line), tuple(_first_ids(line))) for bucket, line in self._lines.items()]

    # ---- for `Place` -------------------------------------------------------------------------------------------

    def join(self, place: Place, limit: Limit) -> None:
        """Put a job behind those that wait for a limit and are as urgent; who is first, and asks, stays so."""
        place.limit = limit
        place.first = anyio.Event()
        line = self._lines.get(limit.bucket)
        if line is None:
            self._lines[limit.bucket] = _Line(place)
        else:
            line.behind.add(place, place.priority)

    def leave(self, place: Place) -> None:
        """Take a job out of the line that it is in, if any; the next one is told where it was the first."""
        if place.limit is None:
            return
        bucket, place.limit = place.limit.bucket, None
        line = self._lines[bucket]
        if line.first is not place:
            line.behind.remove(place, place.priority)
        elif not line.behind:
            del self._lines[bucket]
        else:
            line.first = line.behind.next()
            line.first.first.set()

    def is_first(self, place: Place) -> bool:
        """Return whether a job is the first of the line that it is in, or in none."""
        return place.limit is None or self._lines[place.limit.bucket].first is place

    async def room(self, limited: Limited) -> None:
        """Wait until a limit may have room."""
        await self._coordinator.wait_limit(limited.limit, _ASK_AGAIN_SECONDS)


class Place:
    """One job's place: in the line of the limit that refused it, if one did."""

    __slots__ = ("_limits", "_lines", "first", "id", "limit", "priority")

    def __init__(self, lines: LimitLines, id: str, limits: Sequence[Limit], priority: Priority) -> None:
        self.id = id
        self.priority = priority
        self.limit: Limit | None = None
        self.first = anyio.Event()
        self._lines = lines
        self._limits = limits

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()

    async def turn(self) -> None:
        """Return once this job may ask: nobody stands before it in the line that it is in, or would come to."""
        if self.limit is None:
            wanted = next((limit for limit in self._limits if limit.bucket in self._lines), None)
            if wanted is not None:
                self._lines.join(self, wanted)
        if not self._lines.is_first(self):
            await self.first.wait()

    async def refused(self, limited: Limited) -> None:
        """Wait in the line of what refused the job until it may ask again."""
        if self.limit is None or self.limit.bucket != limited.limit.bucket:
            self.leave()
            self._lines.join(self, limited.limit)
        if self._lines.is_first(self):
            await self._lines.room(limited)

    def leave(self) -> None:
        """Leave the line, having been granted what is needed, or nothing any more."""
        self._lines.leave(self)


class _Line:
    """Who asks for a bucket, and who waits behind."""

    __slots__ = ("behind", "first")

    def __init__(self, first: Place) -> None:
        self.first = first
        self.behind: Turns[Place] = Turns()

    def __len__(self) -> int:
        return 1 + len(self.behind)

    def __iter__(self) -> Iterator[Place]:
        yield self.first
        yield from self.behind


def _first_ids(line: _Line) -> Iterator[str]:
    for _, place in zip(range(_IDS_TOLD), line, strict=False):
        yield place.id
