"""Where a key's projections stand: read from the records they are kept as, and from the log where those are behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from jobkit.errors import ConfigurationError, ProjectionFailed
from jobkit.ports.inspection import Inspection, LoggedEntry
from jobkit.ports.store import LogEntry, Store
from jobkit.projections.projection import Projection, ProjectionState

S = TypeVar("S", bound=BaseModel)

_PAGE = 500


class ProjectionReader:
    """The projections of one key during one attempt at a job; `length` is that of its log as the job was opened."""

    def __init__(
        self,
        store: Store,
        inspection: Inspection,
        type: str,
        key: str,
        length: int,
        projections: Sequence[Projection[Any]],
    ) -> None:
        self._store = store
        self._inspection = inspection
        self._type = type
        self._key = key
        self._length = length
        self._projections = projections
        # Of each that was asked for: where it was kept, and where it stands now.
        self._known: dict[str, tuple[int, ProjectionState[Any]]] = {}

    async def state(self, projection: Projection[S], staged: Sequence[LogEntry]) -> S:
        """Return the state after all that is staged.

        Raises `ConfigurationError` where the processor has not declared it, `ProjectionFailed` or `Unavailable`.
        """
        if projection not in self._projections:
            raise self._undeclared(projection.name)
        return (await self._fold(projection, staged)).state.model_copy(deep=True)

    def declared(self, name: str) -> Projection[Any]:
        """Return the projection of that name. Raises `ConfigurationError` where the processor has not declared it."""
        for projection in self._projections:
            if projection.name == name:
                return projection
        raise self._undeclared(name)

    def _undeclared(self, name: str) -> ConfigurationError:
        return ConfigurationError(
            f"job type {self._type!r} has not declared the projection {name!r}: @processor(..., projections=[...])"
        )

    async def records(self, staged: Sequence[LogEntry]) -> dict[str, bytes]:
        """Return what has to be written with the staged entries. Raises `ProjectionFailed` or `Unavailable`."""
        records: dict[str, bytes] = {}
        for projection in self._projections:
            if staged or projection.name in self._known:
                reached = await self._fold(projection, staged)
                kept, _ = self._known[projection.name]
                if kept != reached.position:
                    records |= projection.records(max(kept, 0), reached)
        return records

    async def _fold(self, projection: Projection[S], staged: Sequence[LogEntry]) -> ProjectionState[S]:
        if projection.name in self._known:
            kept, reached = self._known[projection.name]
        else:
            latest = await self._kept(projection)
            kept = -1 if latest is None else latest.position
            known = latest or await self._snapshot(projection)
            reached = await fold(projection, self._inspection, self._type, self._key, self._length, known)
        reached = projection.advance(reached, staged[reached.position - self._length :])
        self._known[projection.name] = (kept, reached)
        return reached

    async def _kept(self, projection: Projection[S]) -> ProjectionState[S] | None:
        return self._of_this_log(projection.load(await self._store.record(self._type, self._key, projection.record)))

    async def _snapshot(self, projection: Projection[S]) -> ProjectionState[S] | None:
        return self._of_this_log(projection.load(await self._store.record(self._type, self._key, projection.snapshot)))

    def _of_this_log(self, reached: ProjectionState[S] | None) -> ProjectionState[S] | None:
        """Return the state, unless its position is beyond the end of the log."""
        return reached if reached is not None and reached.position <= self._length else None


async def fold(
    projection: Projection[S],
    inspection: Inspection,
    type: str,
    key: str,
    length: int,
    known: ProjectionState[S] | None,
) -> ProjectionState[S]:
    """Return the projection's state after the log's first `length` entries, starting from a known state.

    Raises `ProjectionFailed` or `Unavailable`.
    """
    reached = known or projection.begin()
    async for page in read_log(inspection, type, key, after=reached.position, upto=length):
        reached = projection.advance(reached, page)
    return reached


async def read_log(
    inspection: Inspection, type: str, key: str, *, after: int, upto: int
) -> AsyncIterator[Sequence[LoggedEntry]]:
    """Yield the entries of a key's log at the positions above `after` and not above `upto`, in pages.

    Raises `ProjectionFailed` where the log is shorter, or one of them was dropped.
    """
    while after < upto:
        page = await inspection.log(type, key, after=after, limit=min(_PAGE, upto - after))
        if not page or page[0].position != after + 1:
            raise ProjectionFailed(
                f"the log of {type}/{key} does not have entry {after + 1} of {upto}: either its log_retention dropped "
                "it, and the projection has no snapshot of it in this version, or it is lost"
            )
        yield page
        after = page[-1].position
