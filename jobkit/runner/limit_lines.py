"""Jobs of this process that wait for a limit: in a line for each bucket, of which only the first asks the coordinator.

A job that was refused stands in the line of what refused it, and holds neither a slot nor a lease there. So whatever
number waits, each process asks once for each release, and nobody waits behind a job that needs something else.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from types import TracebackType

import anyio

from jobkit.model.limit import Limit
from jobkit.ports.coordinator import Coordinator, Limited, Waiting

# The first of a line asks again after so many seconds at the latest, whatever it was told, or not told.
_ASK_AGAIN_SECONDS = 10.0
# So many ids are told of each line.
_IDS_TOLD = 100


class LimitLines:
    """The lines of one process."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self._lines: dict[str, deque[Place]] = {}

    def place(self, id: str, limits: Sequence[Limit]) -> Place:
        """Return a job's place, in no line yet; it leaves the one that it is in at the end of the block."""
        return Place(self, id, limits)

    def __contains__(self, bucket: str) -> bool:
        """Tell whether a job waits for a bucket."""
        return bucket in self._lines

    def in_line(self, bucket: str) -> Sequence[str]:
        """Return the ids of the jobs that wait for a bucket, the first that came first."""
        return [place.id for place in self._lines.get(bucket, ())]

    @property
    def keyed(self) -> list[Limit]:
        """The limits that jobs wait for while others of the same type may need other buckets."""
        return [line[0].limit for line in self._lines.values() if line[0].limit is not None and line[0].limit.keyed]

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
        """Put a job behind those that wait for a limit."""
        place.limit = limit
        place.first = anyio.Event()
        self._lines.setdefault(limit.bucket, deque()).append(place)

    def leave(self, place: Place) -> None:
        """Take a job out of the line that it is in, if any; the next one is told where it was the first."""
        if place.limit is None:
            return
        bucket, place.limit = place.limit.bucket, None
        line = self._lines[bucket]
        was_first = line[0] is place
        line.remove(place)
        if not line:
            del self._lines[bucket]
        elif was_first:
            line[0].first.set()

    def is_first(self, place: Place) -> bool:
        """Tell whether a job is the first of the line that it is in, or in none."""
        return place.limit is None or self._lines[place.limit.bucket][0] is place

    async def room(self, limited: Limited) -> None:
        """Wait until a limit may have room."""
        await self._coordinator.wait_limit(limited.limit, _ASK_AGAIN_SECONDS)


class Place:
    """One job's place: in the line of the limit that refused it, if one did."""

    __slots__ = ("_limits", "_lines", "first", "id", "limit")

    def __init__(self, lines: LimitLines, id: str, limits: Sequence[Limit]) -> None:
        self.id = id
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


def _first_ids(line: deque[Place]) -> Iterator[str]:
    for _, place in zip(range(_IDS_TOLD), line, strict=False):
        yield place.id
