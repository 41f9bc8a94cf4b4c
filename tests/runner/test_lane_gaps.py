"""Lanes whose jobs come ahead of their sequence."""

from __future__ import annotations

from jobkit.runner.decode import Job
from jobkit.runner.outcome import Ahead, PipelineOutcome
from tests.runner.lane_bench import DONE, Bench, ordered, running, scripted
from tests.virtual_site import in_virtual_time


@in_virtual_time
async def test_of_jobs_ahead_of_their_sequence_the_lowest_is_tried_first() -> None:
    committed: list[int] = []
    bench = Bench(ordered(committed))
    for sequence in (4, 3, 2):
        bench.put(f"job-{sequence}", sequence)
    async with running(bench):
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
    bench = Bench(ordered(committed))
    bench.put("job-2", 2)
    async with running(bench):
        await bench.clock.sleep(3.5)
        committed.append(1)
        await bench.clock.sleep(1)
    assert committed == [1, 2]
    assert bench.witness.count("jobkit.gaps", {"event": "held"}) == 1


@in_virtual_time
async def test_a_held_job_is_parked_when_its_time_is_over() -> None:
    bench = Bench(ordered([]), hold=10)
    bench.put("job-3", 3)
    started = bench.clock.now()
    await bench.lane.run()
    assert bench.told == ["park job-3 behind 1", "ack 1"]
    assert 10 <= bench.clock.now() - started < 11


@in_virtual_time
async def test_a_job_behind_a_gap_that_will_not_close_by_itself_is_parked_at_once() -> None:
    bench = Bench(scripted(Ahead(1, blocked=True)))
    bench.put("job-2", 2)
    started = bench.clock.now()
    await bench.lane.run()
    assert bench.told == ["park job-2 behind 1", "ack 1"]
    assert bench.clock.now() == started


@in_virtual_time
async def test_beyond_the_limit_jobs_are_parked_and_not_held() -> None:
    """bounded."""
    bench = Bench(ordered([]), hold=1_000, limit=3)
    for sequence in range(2, 8):
        bench.put(f"job-{sequence}", sequence)
    async with running(bench):
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
    async with running(bench):
        await bench.clock.sleep(2)
        assert bench.done == ["loose"]
