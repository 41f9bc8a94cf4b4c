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
from jobkit.ports.coordinator import Coordinator, Limited, Waiting
from jobkit.runner.turns import Turns

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

    def first(self, bucket: str) -> Place | None:
        """Return the job that asks for a bucket while others wait behind it, if any waits."""
        line = self._lines.get(bucket)
        return None if line is None else line.first

    def join(self, place: Place, bucket: str) -> None:
        """Put a job behind those that wait for a bucket and are as urgent; who is first, and asks, stays so."""
        line = self._lines.get(bucket)
        if line is None:
            self._lines[bucket] = _Line(place)
        else:
            line.behind.add(place, place.priority)

    def leave(self, place: Place, bucket: str) -> None:
        """Take a job out of a line; the next one is told where it was the first."""
        line = self._lines[bucket]
        if line.first is not place:
            line.behind.remove(place, place.priority)
        elif not line.behind:
            del self._lines[bucket]
        else:
            line.first = line.behind.next()
            line.first.first.set()

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
            for limit in self._limits:
                if self._lines.first(limit.bucket) is not None:
                    self._join(limit)
                    break
        if self.limit is not None and self._lines.first(self.limit.bucket) is not self:
            await self.first.wait()

    async def refused(self, limited: Limited) -> None:
        """Wait in the line of what refused the job until it may ask again."""
        if self.limit is None or self.limit.bucket != limited.limit.bucket:
            self.leave()
            self._join(limited.limit)
        if self._lines.first(limited.limit.bucket) is self:
            await self._lines.room(limited)

    def leave(self) -> None:
        """Leave the line, having been granted what is needed, or nothing any more."""
        if self.limit is not None:
            limit, self.limit = self.limit, None
            self._lines.leave(self, limit.bucket)

    def _join(self, limit: Limit) -> None:
        self.limit = limit
        self.first = anyio.Event()
        self._lines.join(self, limit.bucket)


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
