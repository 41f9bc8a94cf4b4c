"""Which acks to send when: as few frames as possible, without keeping anything from the broker for long.

An ack that is not sent yet is no harm: the message is delivered again, and the store knows that it is done.
Plain decisions; nothing here sends or waits.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import islice


@dataclass(frozen=True, slots=True)
class Ack:
    """One ack frame: of the message with this tag, and with `multiple` of all before it."""

    tag: int
    multiple: bool


class Acks:
    """The messages of one channel that the broker waits for, in the order they came."""

    # Enough to make a frame's cost small, few enough that the broker goes on sending.
    ENOUGH = 20
    # So many that are finished behind one that is not are acked one by one, or it would hold the whole prefetch back.
    MANY_BEHIND = 64

    def __init__(self) -> None:
        # Each tag, and whether its message is finished.
        self._owed: OrderedDict[int, bool] = OrderedDict()
        self._finished = 0

    @property
    def enough(self) -> bool:
        """Return whether it is worth sending at once."""
        return self._finished >= self.MANY_BEHIND or (
            self._finished >= self.ENOUGH and self._begins_finished(self.ENOUGH)
        )

    @property
    def waiting(self) -> bool:
        """Return whether anything is finished and not sent."""
        return self._finished > 0

    def delivered(self, tag: int) -> None:
        """Note that a message came."""
        self._owed[tag] = False

    def finish(self, tag: int) -> None:
        """Note that a message is done with."""
        if self._owed.get(tag) is False:
            self._owed[tag] = True
            self._finished += 1

    def take(self, *, everything: bool) -> list[Ack]:
        """Return the acks to send now, and forget what they are for.

        That is one for all that are finished up to the first that is not, and, if `everything` or there are many,
        one each for those behind it.
        """
        acks = []
        last = None
        while self._begins_finished(1):
            last, _ = self._owed.popitem(last=False)
            self._finished -= 1
        if last is not None:
            acks.append(Ack(last, multiple=True))
        if everything or self._finished >= self.MANY_BEHIND:
            behind = [tag for tag, finished in self._owed.items() if finished]
            for tag in behind:
                del self._owed[tag]
            self._finished = 0
            acks += [Ack(tag, multiple=False) for tag in behind]
        return acks

    def _begins_finished(self, count: int) -> bool:
        first = list(islice(self._owed.values(), count))
        return len(first) == count and all(first)
