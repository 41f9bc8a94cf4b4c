"""What is paused, as far as this worker has heard, and so what is to begin in a partition that it leads.

One look at the store is shared by all the partitions. It looks as often as it measures how far the store is, twice a
second, with the same question.
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from jobkit.model.partition import Partition
from jobkit.model.pause import Pause
from jobkit.ports.store import Store
from jobkit.telemetry import Telemetry

_NONE: frozenset[str] = frozenset()


class Pauses:
    """The pauses that the last look has found; `changed` is set, and replaced, with each look that finds others."""

    def __init__(self, store: Store, telemetry: Telemetry) -> None:
        self.known: Sequence[Pause] = ()
        self.changed = anyio.Event()
        self._store = store
        self._telemetry = telemetry
        self._keys: dict[str, frozenset[str]] = {}

    async def look(self) -> None:
        """Find out what is paused now. Raises `Unavailable`, and then what was paused still counts as that."""
        found = list(await self._store.pauses())
        if found == self.known:
            return
        for pause in found:
            if pause not in self.known:
                self._telemetry.paused(pause)
        for pause in self.known:
            if pause not in found:
                self._telemetry.resumed(pause)
        self.known = found
        types = {pause.scope.type for pause in found}
        self._keys = {type: frozenset(_keys_of(found, type)) for type in types}
        self.changed.set()
        self.changed = anyio.Event()

    def hold(self, partition: Partition) -> bool:
        """Return whether all of a partition is paused."""
        return any(
            pause.scope.type == partition.type
            and pause.scope.key is None
            and pause.scope.partition in (None, partition.index)
            for pause in self.known
        )

    def rests(self, partition: Partition, key: str) -> bool:
        """Return whether nothing of a key is to begin, which belongs to that partition."""
        return bool(self.known) and (self.hold(partition) or key in self.keys(partition.type))

    def keys(self, type: str) -> frozenset[str]:
        """Return the keys of a type that are paused by their names."""
        return self._keys.get(type, _NONE)


class Rest:
    """Whether a partition rests, or keys of it: `draining` is set once, for good, pauses come and go."""

    def __init__(self, partition: Partition, pauses: Pauses) -> None:
        self.draining = False
        self._partition = partition
        self._pauses = pauses

    @property
    def paused(self) -> bool:
        """Whether all of the partition is paused, because a person has said so."""
        return self._pauses.hold(self._partition)

    @property
    def paused_keys(self) -> frozenset[str]:
        """The keys that are paused by their names."""
        return self._pauses.keys(self._partition.type)

    @property
    def changed(self) -> anyio.Event:
        """What is set when something is paused or resumed next."""
        return self._pauses.changed

    def holds(self, key: str) -> bool:
        """Return whether nothing of a key is to begin here."""
        return self.draining or self.paused or key in self.paused_keys


def _keys_of(pauses: Sequence[Pause], type: str) -> list[str]:
    return [pause.scope.key for pause in pauses if pause.scope.type == type and pause.scope.key is not None]
