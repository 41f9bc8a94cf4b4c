"""What a broker may answer to a message: doubles for queues that are full, silent or gone, by partition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from jobkit.model.clock import Clock
from jobkit.model.envelope import Envelope
from jobkit.model.partition import Partition
from jobkit.ports.broker import CONFIRM_SECONDS, Answer, Broker, Deferred, InDoubt, Rejected

# What becomes of a message before its queue sees it; None: the queue has it.
Verdict = Callable[[Partition, Envelope], Answer | None]


class AnsweringBroker:
    """A broker some of whose messages are answered by `verdict`, in the order a broker keeps; it counts publishes."""

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self.verdict: Verdict = lambda *_: None
        self.published: Counter[str] = Counter()
        self.calls: list[int] = []
        self.rebuilt: list[Partition] = []
        self.rebuilds = False
        self._broker = broker
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    async def publish(
        self, messages: Sequence[tuple[Partition, Envelope]], *, timeout: float = CONFIRM_SECONDS
    ) -> Sequence[Answer]:
        self.calls.append(len(messages))
        self.published.update(envelope.id for _, envelope in messages)
        stuck: set[Partition] = set()
        answers: list[Answer | None] = []
        for partition, envelope in messages:
            answer = Deferred("behind") if partition in stuck else self.verdict(partition, envelope)
            if isinstance(answer, (Deferred, InDoubt)):
                stuck.add(partition)
            answers.append(answer)
        if any(isinstance(answer, InDoubt) for answer in answers):
            await self._clock.sleep(timeout)
        taken = [message for message, answer in zip(messages, answers, strict=True) if answer is None]
        sent = iter(await self._broker.publish(taken, timeout=timeout))
        return [next(sent) if answer is None else answer for answer in answers]

    async def rebuild(self, partition: Partition, covered: Callable[[], Awaitable[bool]]) -> bool:
        if not self.rebuilds or not await covered():
            return False
        self.rebuilt.append(partition)
        return True


def refusing(*sick: Partition) -> Verdict:
    """Queues without a leader."""
    return lambda partition, _: Deferred("no leader") if partition in sick else None


def silent(*sick: Partition) -> Verdict:
    """Queues that never confirm."""
    return lambda partition, _: InDoubt("no confirm") if partition in sick else None


def rejecting(*ids: str) -> Verdict:
    """Messages that no broker takes."""
    return lambda _, envelope: Rejected("too large") if envelope.id in ids else None
