"""Are a key's projections what its log adds up to?

The records are read before the log, so that the log holds every entry that they are of, however many commits go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobkit.errors import ProjectionFailed
from jobkit.model.invariant import Invariant
from jobkit.ops.verify.violation import Action, Repair, Violation
from jobkit.ports.inspection import KeyRecord, LoggedEntry
from jobkit.ports.store import Store
from jobkit.projections.projection import Projection, ProjectionState


class ProjectionCheck:
    """Adds up one key's log and compares what was kept: the state, and the snapshot."""

    def __init__(self, projection: Projection[Any], key: KeyRecord, kept: Sequence[tuple[str, bytes | None]]) -> None:
        self._projection = projection
        self._key = key
        self._folded = projection.begin()
        self._problem = ""
        # By the position that each is of.
        self._waiting: list[tuple[str, ProjectionState[Any]]] = []
        self._problems: list[str] = []
        for name, raw in kept:
            loaded = projection.load(raw)
            if loaded is not None:
                self._waiting.append((name, loaded))
        if key.log_trimmed:
            # What its first entries added up to is known by the snapshot alone.
            snapshots = [reached for name, reached in self._waiting if name == projection.snapshot]
            self._folded = snapshots[0] if snapshots else self._folded
        state = next((reached for name, reached in self._waiting if name == projection.record), None)
        if state is None and key.log_length:
            self._problems.append("is not kept in this version")
        elif state is not None and state.position < key.log_length:
            self._problems.append(f"is of log position {state.position}, and the log has {key.log_length} entries")
        self._compare()

    def take(self, entries: Sequence[LoggedEntry]) -> None:
        """Add the log's next entries."""
        for entry in entries:
            if self._problem:
                return
            if entry.position <= self._folded.position:
                continue
            if entry.position != self._folded.position + 1:
                self._problem = f"needs log entry {self._folded.position + 1}, which is not there any more"
                self._problems.append(self._problem)
                return
            try:
                self._folded = self._projection.advance(self._folded, [entry])
            except ProjectionFailed as error:
                self._problem = str(error)
                self._problems.append(self._problem)
            self._compare()

    def findings(self) -> list[Violation]:
        """Return what is wrong, once the whole log was taken."""
        ahead = [] if self._problem else [f"{name} is of log position {kept.position}" for name, kept in self._waiting]
        where = f"{self._key.type}/{self._key.key}"
        problems = [f"{problem}, which the log does not reach" for problem in ahead] + self._problems
        # A handler that does not take its log has to be mended first.
        repair = None if self._problem else Repair(Action.REBUILD, self._key.type, self._key.key, self._projection.name)
        name = self._projection.name
        return [
            Violation(Invariant.PROJECTION, where, f"projection {name!r}: {problem}", repair) for problem in problems
        ]

    def _compare(self) -> None:
        position = self._folded.position
        for name, kept in [one for one in self._waiting if one[1].position == position]:
            if not self._projection.same(kept, self._folded):
                self._problems.append(f"{name} differs from what the log adds up to at position {position}")
        self._waiting = [one for one in self._waiting if one[1].position != position]


async def begin_checks(store: Store, key: KeyRecord, projections: Sequence[Projection[Any]]) -> list[ProjectionCheck]:
    """Return a check for each projection of the key, to be shown its log from the start. Raises `Unavailable`."""
    checks = []
    for projection in projections:
        names = (projection.record, projection.snapshot)
        kept = [(name, await store.record(key.type, key.key, name)) for name in names]
        checks.append(ProjectionCheck(projection, key, kept))
    return checks
