"""Projections: what a key's log adds up to, moved in the same commit that appends to it.

A projection is a fold: an initial state, and for each kind of log entry a pure function from state to state. Its
state is kept as a record of the key, with the log position that it is of; so it can always be rebuilt from the log,
and a state that is of an earlier position or of an earlier version of the code is never taken for the present one.
It does not remember why it moved, and never looks at clocks or at other keys: the same entries give the same state.
(The pattern is event sourcing's, as in M. Fowler, "Event Sourcing", 2005; snapshots bound what a rebuild reads.)
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, PydanticUserError
from pydantic_core import to_json

from jobkit.errors import ConfigurationError, ProjectionFailed
from jobkit.model import names
from jobkit.model.field_check import unreadable_fields
from jobkit.model.read_back import Codec, NotReadBack, difference
from jobkit.model.safe_text import error_text, shown

S = TypeVar("S", bound=BaseModel)


class Entry(Protocol):
    """What a projection sees of a log entry: its kind, and its data as JSON."""

    @property
    def kind(self) -> str:
        """The entry's kind."""
        ...

    @property
    def data(self) -> bytes:
        """The entry's data."""
        ...


@dataclass(frozen=True, slots=True)
class ProjectionState(Generic[S]):
    """A projection's state after the first `position` entries of the key's log."""

    position: int
    state: S


class _Kept(BaseModel):
    """The record that holds a state."""

    version: int
    position: int
    state: Any


@dataclass(frozen=True, slots=True)
class _Handler:
    event: Codec[Any]
    move: Callable[[Any, Any], Any]


class Projection(Generic[S]):
    """A fold over a key's log, called `name`, whose state is a `state` model; it begins as `state()`.

        session = Projection("session", Session)

        @session.on("ChunkReceived")
        def received(session: Session, chunk: ChunkReceived) -> Session:
            return session.model_copy(update={"chunks": session.chunks + 1})

    Kinds without a handler leave the state as it is. Raise `version` whenever the state or what a handler does
    changes: states of another version are rebuilt from the log. Every `snapshot_every` entries the state is kept once
    more, so that a rebuild reads no more than that many entries.
    """

    def __init__(self, name: str, state: type[S], *, version: int = 1, snapshot_every: int = 200) -> None:
        try:
            self.name = names.PROJECTION.check(name)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        if any(type(number) is not int or number < 1 for number in (version, snapshot_every)):
            raise ConfigurationError(
                f"projection {name!r}: version and snapshot_every must be whole numbers above zero, "
                f"not {shown(version)} and {shown(snapshot_every)}"
            )
        if not (inspect.isclass(state) and issubclass(state, BaseModel)):
            raise ConfigurationError(f"projection {name!r}: the state must be a pydantic model, not {shown(state)}")
        _refuse_unreadable(f"projection {name!r}", state)
        self.model = state
        self.version = version
        self._states: Codec[S] = Codec(state)
        self._snapshot_every = snapshot_every
        self._handlers: dict[str, _Handler] = {}

    def on(self, kind: str) -> Callable[[Callable[[S, Any], S]], Callable[[S, Any], S]]:
        """Declare a function of (state, event) to be what entries of `kind` do; the event's type is its annotation.

        Raises `ConfigurationError` where the kind is taken or the function is not of that form.
        """

        try:
            kind = names.KIND.check(kind)
        except ValueError as error:
            raise ConfigurationError(f"projection {self.name!r}: {error}") from error

        def declare(move: Callable[[S, Any], S]) -> Callable[[S, Any], S]:
            if kind in self._handlers:
                raise ConfigurationError(f"projection {self.name!r} has two handlers of {kind!r}")
            self._handlers[kind] = _Handler(_event_codec(self.name, kind, move), move)
            return move

        return declare

    # ---- folding ---------------------------------------------------------------------------------------------------

    def begin(self) -> ProjectionState[S]:
        """Return the state of an empty log."""
        return ProjectionState(0, self.model())

    def advance(self, reached: ProjectionState[S], entries: Iterable[Entry]) -> ProjectionState[S]:
        """Return the state after `entries`, which follow `reached` in the log.

        Raises `ProjectionFailed` naming the entry that a handler does not take.
        """
        position, state = reached.position, reached.state
        for entry in entries:
            position += 1
            handler = self._handlers.get(entry.kind)
            if handler is None:
                continue
            try:
                moved = handler.move(state, handler.event.load(entry.data))
            except Exception as error:
                what = f"projection {self.name!r} cannot take log entry {position} ({entry.kind}): {error_text(error)}"
                raise ProjectionFailed(what) from error
            if not isinstance(moved, self.model):
                raise ProjectionFailed(
                    f"projection {self.name!r}: the handler of {entry.kind} returned {shown(moved)}, "
                    f"not a {self.model.__name__}"
                )
            state = moved
        return ProjectionState(position, state)

    # ---- keeping ---------------------------------------------------------------------------------------------------

    @property
    def record(self) -> str:
        """The name of the record that holds the state."""
        return f"projection:{self.name}"

    @property
    def snapshot(self) -> str:
        """The name of the record that holds the latest snapshot."""
        return f"snapshot:{self.name}"

    def dump(self, reached: ProjectionState[S]) -> bytes:
        """Return a state as its record, JSON. Raises `ProjectionFailed` where its state would not read back equal."""
        try:
            state = self._states.dump(reached.state, "state")
        except NotReadBack as error:
            raise ProjectionFailed(f"projection {self.name!r} at log position {reached.position}: {error}") from error
        return b'{"version":%d,"position":%d,"state":%b}' % (self.version, reached.position, state)

    def load(self, raw: bytes | None) -> ProjectionState[S] | None:
        """Return the state in a record, or None where there is none of this version."""
        if raw is None:
            return None
        try:
            kept = _Kept.model_validate_json(raw)
            # Not before the version is known to be this one: an earlier state need not fit the model.
            return (
                ProjectionState(kept.position, self._states.load(to_json(kept.state))) if self._is_mine(kept) else None
            )
        except Exception:  # noqa: BLE001  (a validator of the state's own may raise anything)
            # Dropped, or changed without a new version: the log is the truth, and the record is made anew from it.
            return None

    def records(self, before: int, reached: ProjectionState[S]) -> dict[str, bytes]:
        """Return the records to write for a state that was reached from position `before`."""
        dumped = self.dump(reached)
        crossed = before // self._snapshot_every < reached.position // self._snapshot_every
        return {self.record: dumped, self.snapshot: dumped} if crossed else {self.record: dumped}

    def same(self, one: ProjectionState[S], other: ProjectionState[S]) -> bool:
        """Return whether two states are of one position and have equal states, in whatever order a set is kept."""
        return one.position == other.position and difference(one.state, other.state, "state") is None

    def _is_mine(self, kept: _Kept) -> bool:
        return kept.version == self.version and kept.position >= 0


def _event_codec(name: str, kind: str, move: Callable[..., Any]) -> Codec[Any]:
    event = _event_type(name, kind, move)
    _refuse_unreadable(f"projection {name!r}: the event of {kind!r}", event)
    try:
        return Codec(event)
    except PydanticUserError as error:
        raise ConfigurationError(
            f"projection {name!r}: the handler of {kind!r} takes {shown(event)}, which cannot be read from JSON"
        ) from error


def _refuse_unreadable(what: str, annotation: Any) -> None:
    problems = unreadable_fields(annotation)
    if problems:
        raise ConfigurationError("\n".join(f"{what}: {problem}" for problem in problems))


def _event_type(name: str, kind: str, move: Callable[..., Any]) -> Any:
    parameters = list(inspect.signature(move).parameters)
    hints = typing.get_type_hints(move, include_extras=True)
    if len(parameters) != 2 or parameters[1] not in hints:
        raise ConfigurationError(
            f"projection {name!r}: the handler of {kind!r} must take (state, event), with the event's type annotated"
        )
    return hints[parameters[1]]
