"""Lanes in virtual time, with a pipeline that answers what the test says."""

from __future__ import annotations

from itertools import pairwise

from jobkit.errors import ConsumerClosed, Unavailable
from jobkit.runner.decode import Job
from jobkit.runner.outcome import Ahead, Outbid, PipelineOutcome, TryAgain
from tests.runner.lane_bench import DONE, Bench, name_of, running, scripted
from tests.virtual_site import in_virtual_time


@in_virtual_time
async def test_who_is_outbid_comes_back_later_each_time_and_at_once_after_a_success() -> None:
    """Two workers on two coordinators would otherwise outbid each other for ever, and no long job would commit."""
    bench = Bench(scripted(*[Outbid()] * 8, DONE, Outbid()))
    moments: list[float] = []
    scripted_answer = bench._answer

    async def answer(job: Job) -> PipelineOutcome:
        moments.append(bench.clock.now())
        return await scripted_answer(job)

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
    bench = Bench(scripted())
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
    bench = Bench(scripted(away, away, away))
    bench.put("a")
    bench.put("b")
    started = bench.clock.now()
    await bench.lane.run()
    assert bench.taken == ["a", "a", "a", "a", "b"]
    assert 0.5 < bench.clock.now() - started <= 0.1 + 0.2 + 0.4
    assert bench.witness.count("jobkit.connections.lost", {"plane": "store"}) == 3


@in_virtual_time
async def test_trouble_that_lasts_is_met_ever_more_rarely_but_at_least_every_five_seconds() -> None:
    bench = Bench(scripted(*[Unavailable("store", "away")] * 100))
    bench.put("a")
    started = bench.clock.now()
    await bench.lane.run()
    assert 0.8 * 90 * 5 < bench.clock.now() - started < 100 * 5


@in_virtual_time
async def test_a_defect_met_by_a_job_ends_no_lane_and_is_loud() -> None:
    bench = Bench(scripted(KeyError("a bug")))
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
        bench = Bench(scripted(outcome))
        bench.put("a", sequence=2)
        async with running(bench):
            await bench.clock.sleep(0.05)
            assert bench.taken == ["a"]
            assert not bench.lane.working, outcome


@in_virtual_time
async def test_a_retry_in_place_holds_up_those_behind() -> None:
    """order."""
    bench = Bench(scripted(TryAgain(10)))
    bench.put("a")
    bench.put("b")
    started = bench.clock.now()
    await bench.lane.run()
    assert bench.taken == ["a", "a", "b"]
    assert 8 <= bench.clock.now() - started <= 10


@in_virtual_time
async def test_a_retry_by_delay_gives_the_delivery_back_and_goes_on() -> None:
    bench = Bench(scripted(TryAgain(10, requeue=True)))
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
    bench = Bench(scripted(TryAgain(10, requeue=True)))
    bench.put("a", delivered=False)
    started = bench.clock.now()
    await bench.lane.run()
    assert bench.taken == ["a", "a"]
    assert bench.clock.now() - started >= 8
    assert bench.done == ["a"]


@in_virtual_time
async def test_an_answer_to_a_closed_consumer_is_let_go_for_its_messages_come_again() -> None:
    bench = Bench(scripted())
    bench.trouble = ConsumerClosed("gone")
    bench.put("a")
    await bench.lane.run()
    assert (bench.done, bench.doubts) == (["a"], 0)
    assert bench.witness.count("jobkit.connections.lost", {"plane": "broker"}) == 1


@in_virtual_time
async def test_an_answer_of_which_nobody_knows_whether_it_was_heard_raises_a_doubt() -> None:
    """nothing-lost: else the broker would wait for it for as long as the consumer lives."""
    for outcome in (DONE, TryAgain(1, requeue=True)):
        bench = Bench(scripted(outcome))
        bench.trouble = Unavailable("broker", "no answer")
        bench.put("a")
        await bench.lane.run()
        assert (bench.done, bench.doubts) == (["a"], 1)


@in_virtual_time
async def test_malformed_messages_are_buried_one_by_one() -> None:
    bench = Bench(scripted())
    bench.put_malformed("malformed message")
    bench.put_malformed("unknown type")
    await bench.lane.run()
    assert bench.told == ["bury malformed message", "ack 1", "bury unknown type", "ack 2"]


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
    assert [name_of(pending) for pending in bench.lane.waiting] == ["b"]


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
