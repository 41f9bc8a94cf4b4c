"""What is to begin in a led partition just now, and what is not: drains and pauses decide, the first for good."""

from __future__ import annotations

import anyio

from jobkit.model.partition import Partition
from jobkit.runner.pauses import Pauses


class Rest:
    """Whether a partition rests, or keys of it: `draining` is set once, pauses come and go."""

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
