"""How many partitions a job type has, and how far a change of that number has come.

A change has three parts. First everything in the queues of before is moved to the in-flight table, each job to its new
partition, while nothing is published. Then the new number is in force; queues beyond it are led on until they hold
nothing. Last these are removed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from jobkit.model.partition import Partition, slot_of


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of one type's queues: its keys belong to the first `partitions` of them.

    The first `led` are led by workers, and the first `made` exist. `unmoved` are those whose messages of before a
    change are still there. `version` grows with each change, and when all is moved.
    """

    version: int
    partitions: int
    led: int
    made: int
    unmoved: frozenset[int] = frozenset()

    @classmethod
    def first(cls, partitions: int) -> Layout:
        """Return the layout of a type that is new."""
        return cls(1, partitions, partitions, partitions)

    @property
    def moving(self) -> bool:
        """Tell whether nothing may be published now, and all that is delivered is to be moved."""
        return bool(self.unmoved)

    @property
    def settled(self) -> bool:
        """Tell whether no change is under way any more."""
        return not self.unmoved and self.partitions == self.led == self.made

    def partition(self, type: str, key: str | None) -> Partition:
        """Return the partition that a key of the type belongs to."""
        return Partition(type, slot_of(key) % self.partitions)

    def changed(self, partitions: int) -> Layout:
        """Return the layout with another number, and everything yet to be moved."""
        led = max(self.led, partitions)
        return Layout(self.version + 1, partitions, led, max(self.made, led), frozenset(range(self.led)))

    def moved(self, index: int) -> Layout:
        """Return the layout once all that was in that queue is moved."""
        unmoved = self.unmoved - {index}
        return replace(self, version=self.version + (not unmoved), unmoved=unmoved)

    def retired(self) -> Layout:
        """Return the layout once the queues beyond the last partition hold nothing: nobody leads them any more."""
        return replace(self, led=self.partitions)

    def removed(self) -> Layout:
        """Return the layout once the queues that nobody leads are removed."""
        return replace(self, made=self.led)

    def reopened(self) -> Layout:
        """Return the layout with all queues led that exist."""
        return replace(self, led=self.made)

    def pack(self) -> str:
        """Return the layout as text, the number of partitions first."""
        unmoved = ",".join(map(str, sorted(self.unmoved)))
        return f"{self.partitions} {self.version} {self.led} {self.made} {unmoved}"

    @classmethod
    def unpack(cls, text: str) -> Layout:
        """Return the layout that `pack` made `text` of."""
        partitions, version, led, made, unmoved = text.split(" ")
        return cls(
            int(version),
            int(partitions),
            int(led),
            int(made),
            frozenset(int(index) for index in unmoved.split(",") if index),
        )
