"""Lanes in virtual time, with a pipeline that answers what the test says."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import cast

import anyio
from anyio.abc import TaskGroup

from jobkit.errors import ConsumerClosed, Unavailable
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.ports.broker import Consumer, Delivery
from jobkit.runner.decode import Job, Malformed
from jobkit.runner.lane import GapBounds, Lane, LaneTools
from jobkit.runner.outcome import Ahead, KeyLease, Outbid, PipelineOutcome, Settled, TryAgain
from jobkit.runner.pending_delivery import PendingDelivery
from jobkit.runner.pipeline import Pipeline
from jobkit.testing.virtual_time import VirtualClock
from tests.steps import Step, step
from tests.virtual_site import in_virtual_time
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
        self.lane = Lane(tools, lambda pending: self.done.append(_name(pending)), self._doubt)
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


def _name(pending: PendingDelivery) -> str:
    return pending.job.envelope.id if isinstance(pending.job, Job) else pending.job.reason


def _script(*outcomes: PipelineOutcome | Exception) -> Answer:
    left = list(outcomes)

    async def answer(job: Job) -> PipelineOutcome:
        outcome = left.pop(0) if left else DONE
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return answer


def _ordered(committed: list[int]) -> Answer:
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
async def _running(bench: Bench) -> AsyncIterator[TaskGroup]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.lane.run)
        yield tasks
        tasks.cancel_scope.cancel()


@in_virtual_time
async def test_who_is_outbid_comes_back_later_each_time_and_at_once_after_a_success() -> None:
    """Two workers on two coordinators would otherwise outbid each other for ever, and no long job would commit."""
    bench = Bench(_script(*[Outbid()] * 8, DONE, Outbid()))
    moments: list[float] = []
    script = bench._answer

    async def answer(job: Job) -> PipelineOutcome:
        moments.append(bench.clock.now())
        return await script(job)

    bench._answer = answer
    bench.put("a")
    bench.put("b")
    await bench.lane.run()
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    growth = [later / earlier for earlier, later in pairwise(pauses[:6])]
    assert all(4 * 0.7 <= factor <= 4 * 1.3 for factor in growth)
    assert max(pauses) <= 60
    assert pauses[8] == 0
    assert pauses[9] <= 0.05


@in_virtual_time
async def test_jobs_without_a_sequence_run_in_the_order_they_came() -> None:
    bench = Bench(_script())
    for id in "abc":
        bench.put(id)
    await bench.lane.run()
    assert bench.taken == ["a", "b", "c"]
    assert bench.told == ["ack 1", "ack 2", "ack 3"]
    assert bench.done == ["a", "b", "c"]
    assert not bench.lane.waiting


@in_virtual_time
async def test_what_arrives_while_the_lane_works_is_taken_too() -> None:
    async def answer(job: Job) -> PipelineOutcome:
        if job.envelope.id == "a":
            bench.put("b")
        return DONE

    bench = Bench(answer)
    bench.put("a")
    await bench.lane.run()
    assert bench.taken == ["a", "b"]


@in_virtual_time
async def test_trouble_with_a_backend_keeps_the_head_of_the_line_in_its_place() -> None:
    """order: nothing overtakes."""
    away = Unavailable("store", "away")
    bench = Bench(_script(away, away, away))
    bench.put("a")
    bench.put("b")
    started = bench.clock.now()
    await bench.lane.run()
    assert bench.taken == ["a", "a", "a", "a", "b"]
    assert 0.5 < bench.clock.now() - started <= 0.1 + 0.2 + 0.4
    assert bench.witness.count("jobkit.connections.lost", {"plane": "store"}) == 3


@in_virtual_time
async def test_trouble_that_lasts_is_met_ever_more_rarely_but_at_least_every_five_seconds() -> None:
    bench = Bench(_script(*[Unavailable("store", "away")] * 100))
    bench.put("a")
    started = bench.clock.now()
    await bench.lane.run()
    assert 0.8 * 90 * 5 < bench.clock.now() - started < 100 * 5


@in_virtual_time
async def test_a_defect_met_by_a_job_ends_no_lane_and_is_loud() -> None:
    bench = Bench(_script(KeyError("a bug")))
    bench.put("a")
    bench.put("b")
    await bench.lane.run()
    assert bench.taken == ["a", "a", "b"]
    (line,) = bench.witness.lines("unexpected error")
    assert line["log_level"] == "error"


@in_virtual_time
async def test_while_it_only_waits_a_lane_does_not_count_as_working() -> None:
    """A hand-over cancels what waits and waits for what works."""
    for outcome in (Unavailable("store", "away"), KeyError("bug"), TryAgain(50), Ahead(1, blocked=False)):
        bench = Bench(_script(outcome))
        bench.put("a", sequence=2)
        async with _running(bench):
            await bench.clock.sleep(0.05)
            assert bench.taken == ["a"]
            assert not bench.lane.working, outcome


@in_virtual_time
async def test_a_retry_in_place_holds_up_those_behind() -> None:
    """order."""
    bench = Bench(_script(TryAgain(10)))
    bench.put("a")
    bench.put("b")
    started = bench.clock.now()
    await bench.lane.run()
    assert bench.taken == ["a", "a", "b"]
    assert 8 <= bench.clock.now() - started <= 10


@in_virtual_time
async def test_a_retry_by_delay_gives_the_delivery_back_and_goes_on() -> None:
    bench = Bench(_script(TryAgain(10, requeue=True)))
    bench.put("a")
    bench.put("b")
    started = bench.clock.now()
    await bench.lane.run()
    assert bench.taken == ["a", "b"]
    assert bench.told == ["delay 1 10", "ack 2"]
    assert bench.done == ["a", "b"]
    assert bench.clock.now() == started


@in_virtual_time
async def test_a_retry_by_delay_of_a_job_without_a_delivery_waits_in_the_lane() -> None:
    """nothing-lost: the broker has nothing to give back."""
    bench = Bench(_script(TryAgain(10, requeue=True)))
    bench.put("a", delivered=False)
    started = bench.clock.now()
    await bench.lane.run()
    assert bench.taken == ["a", "a"]
    assert bench.clock.now() - started >= 8
    assert bench.done == ["a"]


@in_virtual_time
async def test_an_answer_to_a_closed_consumer_is_let_go_for_its_messages_come_again() -> None:
    bench = Bench(_script())
    bench.trouble = ConsumerClosed("gone")
    bench.put("a")
    await bench.lane.run()
    assert (bench.done, bench.doubts) == (["a"], 0)
    assert bench.witness.count("jobkit.connections.lost", {"plane": "broker"}) == 1


@in_virtual_time
async def test_an_answer_of_which_nobody_knows_whether_it_was_heard_raises_a_doubt() -> None:
    """nothing-lost: else the broker would wait for it for as long as the consumer lives."""
    for outcome in (DONE, TryAgain(1, requeue=True)):
        bench = Bench(_script(outcome))
        bench.trouble = Unavailable("broker", "no answer")
        bench.put("a")
        await bench.lane.run()
        assert (bench.done, bench.doubts) == (["a"], 1)


@in_virtual_time
async def test_malformed_messages_are_buried_one_by_one() -> None:
    bench = Bench(_script())
    bench.put_malformed("malformed message")
    bench.put_malformed("unknown type")
    await bench.lane.run()
    assert bench.told == ["bury malformed message", "ack 1", "bury unknown type", "ack 2"]


# ---- gaps ----------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_of_jobs_ahead_of_their_sequence_the_lowest_is_tried_first() -> None:
    committed: list[int] = []
    bench = Bench(_ordered(committed))
    for sequence in (4, 3, 2):
        bench.put(f"job-{sequence}", sequence)
    async with _running(bench):
        await bench.clock.sleep(5)
        assert bench.taken[:2] == ["job-4", "job-2"]
        assert set(bench.taken[2:]) == {"job-2"}
        bench.put("job-1", 1)
        await bench.clock.sleep(0.01)
    assert committed == [1, 2, 3, 4]
    assert bench.done == ["job-1", "job-2", "job-3", "job-4"]
    assert bench.told == ["ack 4", "ack 3", "ack 2", "ack 1"]


@in_virtual_time
async def test_a_held_job_looks_again_by_itself_for_the_gap_may_close_elsewhere() -> None:
    committed: list[int] = []
    bench = Bench(_ordered(committed))
    bench.put("job-2", 2)
    async with _running(bench):
        await bench.clock.sleep(3.5)
        committed.append(1)
        await bench.clock.sleep(1)
    assert committed == [1, 2]
    assert bench.witness.count("jobkit.gaps", {"event": "held"}) == 1


@in_virtual_time
async def test_a_held_job_is_parked_when_its_time_is_over() -> None:
    bench = Bench(_ordered([]), hold=10)
    bench.put("job-3", 3)
    started = bench.clock.now()
    await bench.lane.run()
    assert bench.told == ["park job-3 behind 1", "ack 1"]
    assert 10 <= bench.clock.now() - started < 11


@in_virtual_time
async def test_a_job_behind_a_gap_that_will_not_close_by_itself_is_parked_at_once() -> None:
    bench = Bench(_script(Ahead(1, blocked=True)))
    bench.put("job-2", 2)
    started = bench.clock.now()
    await bench.lane.run()
    assert bench.told == ["park job-2 behind 1", "ack 1"]
    assert bench.clock.now() == started


@in_virtual_time
async def test_beyond_the_limit_jobs_are_parked_and_not_held() -> None:
    """bounded."""
    bench = Bench(_ordered([]), hold=1_000, limit=3)
    for sequence in range(2, 8):
        bench.put(f"job-{sequence}", sequence)
    async with _running(bench):
        await bench.clock.sleep(5)
        assert len(bench.lane.waiting) == 3
    parked = [line for line in bench.told if line.startswith("park")]
    assert parked == ["park job-2 behind 1", "park job-3 behind 1", "park job-4 behind 1"]


@in_virtual_time
async def test_a_job_without_a_sequence_does_not_wait_for_those_that_have_one() -> None:
    async def answer(job: Job) -> PipelineOutcome:
        return Ahead(1, blocked=False) if job.sequence else DONE

    bench = Bench(answer)
    bench.put("ahead", 5)
    bench.put("loose")
    async with _running(bench):
        await bench.clock.sleep(2)
        assert bench.done == ["loose"]


# ---- stopping ------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_lane_told_to_stop_finishes_its_current_job_and_no_other() -> None:
    async def answer(job: Job) -> PipelineOutcome:
        bench.lane.stopping = True
        return DONE

    bench = Bench(answer)
    bench.put("a")
    bench.put("b")
    await bench.lane.run()
    assert bench.done == ["a"]
    assert [_name(pending) for pending in bench.lane.waiting] == ["b"]


@in_virtual_time
async def test_only_what_is_not_being_worked_on_can_be_dropped() -> None:
    async def answer(job: Job) -> PipelineOutcome:
        bench.lane.drop(first)
        bench.lane.drop(second)
        return DONE

    bench = Bench(answer)
    first, second = bench.put("a"), bench.put("b")
    await bench.lane.run()
    assert bench.taken == ["a"]
    assert bench.done == ["b", "a"]
