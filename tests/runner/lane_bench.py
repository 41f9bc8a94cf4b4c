"""One lane, the pipeline it asks and the consumer it answers."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import anyio
from anyio.abc import TaskGroup

from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.ports.broker import Consumer, Delivery
from jobkit.runner.decode import Job, Malformed
from jobkit.runner.gap_hold import GapBounds
from jobkit.runner.lane import Lane, LaneTools
from jobkit.runner.outcome import Ahead, KeyLease, PipelineOutcome, Settled
from jobkit.runner.pending_delivery import PendingDelivery
from jobkit.runner.pipeline import Pipeline
from jobkit.testing.virtual_time import VirtualClock
from tests.steps import Step, step
from tests.witness import Witness

DONE = Settled(Receipt("x", "committed"))
Answer = Callable[[Job], Awaitable[PipelineOutcome]]


class Bench:
    """One lane, the pipeline it asks and the consumer it answers."""

    def __init__(self, answer: Answer, *, hold: float = 30, limit: int = 100) -> None:
        self.clock = VirtualClock()
        self.witness = Witness()
        self.taken: list[str] = []
        self.told: list[str] = []
        self.done: list[str] = []
        self.doubts = 0
        self.trouble: Exception | None = None
        self._answer = answer
        tools = LaneTools(
            cast(Pipeline, self), GapBounds(hold, limit), self.clock, random.Random(1), self.witness.telemetry
        )
        self.lane = Lane(tools, lambda pending: self.done.append(name_of(pending)), self._doubt)
        self._tags = 0

    def _doubt(self) -> None:
        self.doubts += 1

    def put(self, id: str, sequence: int | None = None, *, delivered: bool = True) -> PendingDelivery:
        envelope = Envelope(id, "step", b"{}", key="k", sequence=sequence)
        return self._put(Job(envelope, step, Step()), envelope, delivered)

    def put_malformed(self, reason: str) -> PendingDelivery:
        return self._put(Malformed(reason.encode(), None, reason, ""), None, True)

    def _put(self, job: Job | Malformed, envelope: Envelope | None, delivered: bool) -> PendingDelivery:
        self._tags += 1
        delivery = Delivery(self._tags, b"", envelope) if delivered else None
        pending = PendingDelivery(
            job, arrived=self.clock.now(), consumer=cast(Consumer, self) if delivered else None, delivery=delivery
        )
        self.lane.put(pending)
        return pending

    # ---- as the pipeline ----

    async def let_go(self, key: KeyLease) -> None:
        assert key.take() is None

    async def run(self, job: Job, working: Callable[[bool], None], _key: KeyLease) -> PipelineOutcome:
        working(True)
        self.taken.append(job.envelope.id)
        return await self._answer(job)

    @property
    def settlement(self) -> Bench:
        return self

    async def park(self, job: Job, expected: int) -> Settled:
        self.told.append(f"park {job.envelope.id} behind {expected}")
        return DONE

    async def bury_message(self, malformed: Malformed) -> Settled:
        self.told.append(f"bury {malformed.reason}")
        return DONE

    # ---- as the consumer ----

    async def ack(self, delivery: Delivery, receipt: Receipt) -> None:
        self.told.append(f"ack {delivery.tag}")
        if self.trouble is not None:
            raise self.trouble

    async def delay(self, delivery: Delivery, seconds: float) -> None:
        self.told.append(f"delay {delivery.tag} {seconds:g}")
        if self.trouble is not None:
            raise self.trouble


def name_of(pending: PendingDelivery) -> str:
    return pending.job.envelope.id if isinstance(pending.job, Job) else pending.job.reason


def scripted(*outcomes: PipelineOutcome | Exception) -> Answer:
    left = list(outcomes)

    async def answer(job: Job) -> PipelineOutcome:
        outcome = left.pop(0) if left else DONE
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return answer


def ordered(committed: list[int]) -> Answer:
    """Answer as a store that knows the key's last sequence."""

    async def answer(job: Job) -> PipelineOutcome:
        assert job.sequence is not None
        if job.sequence == len(committed) + 1:
            committed.append(job.sequence)
        elif job.sequence > len(committed) + 1:
            return Ahead(len(committed) + 1, blocked=False)
        return DONE

    return answer


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[TaskGroup]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.lane.run)
        yield tasks
        tasks.cancel_scope.cancel()
