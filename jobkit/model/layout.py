"""How many partitions a job type has, and how far a change of that number has come.

A change has parts. It is made known. Then everything in the queues of before is moved to the in-flight table, each job
to its new partition, while nothing is published. Then the new number is in force, and what has gathered in the outbox
is published before anything else is. Queues beyond the new number are led on until they hold nothing, and are removed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from jobkit.model.partition import Partition, slot_of


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of one type's queues: its keys belong to the first `partitions` of them.

    The first `led` are led by workers, and the first `made` exist. `unmoved` are those whose messages of before a
    change are still there. `version` grows with each change, and when all is moved.

    Jobs of partitions in `gathered` are left in the outbox, to whoever sweeps it. Who publishes a job of an `opening`
    one publishes first what is older of its key. So it is before nothing is published, and after it, since publishers
    hear of a change one after another: while one leaves a job in the outbox, no other must publish without a look at
    it. `next` is the number that is made known, and that nobody goes by yet.
    """

    version: int
    partitions: int
    led: int
    made: int
    unmoved: frozenset[int] = frozenset()
    gathered: frozenset[int] = frozenset()
    opening: frozenset[int] = frozenset()
    next: int | None = None

    @classmethod
    def first(cls, partitions: int) -> Layout:
        """Return the layout of a type that is new."""
        return cls(1, partitions, partitions, partitions)

    @property
    def moving(self) -> bool:
        """Return whether nothing may be published now, and all that is delivered is to be moved."""
        return bool(self.unmoved)

    @property
    def settled(self) -> bool:
        """Return whether no change is under way any more."""
        return not (self.unmoved or self.gathered or self.opening or self.surplus) and self.next is None

    @property
    def wanted(self) -> int:
        """The number of partitions that there are to be."""
        return self.partitions if self.next is None else self.next

    @property
    def surplus(self) -> bool:
        """Return whether there are queues beyond the last partition."""
        return self.made > self.partitions

    def partition(self, type: str, key: str | None) -> Partition:
        """Return the partition that a key of the type belongs to."""
        return Partition(type, slot_of(key) % self.partitions)

    def fits(self, partition: Partition, key: str) -> bool:
        """Return whether a key belongs to a partition of the type."""
        return slot_of(key) % self.partitions == partition.index

    def announced(self, partitions: int) -> Layout:
        """Return the layout once another number is asked for; at once in force where nothing is published anyway."""
        if self.moving:
            return self.changed(partitions)
        return replace(self, next=partitions, opening=frozenset(range(self.partitions)) - self.gathered)

    def changed(self, partitions: int) -> Layout:
        """Return the layout with another number, and everything yet to be moved."""
        led = max(self.led, partitions)
        return Layout(self.version + 1, partitions, led, max(self.made, led), frozenset(range(self.led)))

    def moved(self, index: int) -> Layout:
        """Return the layout once all that was in that queue is moved."""
        unmoved = self.unmoved - {index}
        if unmoved:
            return replace(self, unmoved=unmoved)
        gathered = frozenset(range(self.partitions))
        return replace(self, version=self.version + 1, unmoved=unmoved, gathered=gathered)

    def swept(self, index: int) -> Layout:
        """Return the layout once what had gathered in the outbox for that partition is published."""
        return replace(self, gathered=self.gathered - {index}, opening=self.opening | {index})

    def opened(self, index: int) -> Layout:
        """Return the layout once nobody has left anything in the outbox for that partition any more."""
        return replace(self, opening=self.opening - {index})

    def retired(self) -> Layout:
        """Return the layout once the queues beyond the last partition hold nothing: nobody leads them any more."""
        return replace(self, led=self.partitions)

    def removed(self) -> Layout:
        """Return the layout once the queues that nobody leads are removed."""
        return replace(self, made=self.led)

    def found(self, queues: int) -> Layout:
        """Return the layout with so many queues that exist, and are led until they hold nothing, if it has fewer."""
        return self if queues <= self.made else replace(self, led=queues, made=queues)

    def reopened(self) -> Layout:
        """Return the layout with all queues led that exist."""
        return replace(self, led=self.made)

    def pack(self) -> str:
        """Return the layout as text, the number of partitions first."""
        sets = (",".join(map(str, sorted(some))) for some in (self.unmoved, self.gathered, self.opening))
        return " ".join((*map(str, (self.partitions, self.version, self.led, self.made, self.next or 0)), *sets))

    @classmethod
    def unpack(cls, text: str) -> Layout:
        """Return the layout that `pack` made `text` of."""
        partitions, version, led, made, next, *sets = text.split(" ")
        unmoved, gathered, opening = (frozenset(int(index) for index in some.split(",") if index) for some in sets)
        return cls(int(version), int(partitions), int(led), int(made), unmoved, gathered, opening, int(next) or None)
