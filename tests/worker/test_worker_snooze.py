"""A processor that puts its job off: it runs again after that, and no attempt is counted."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from jobkit import Context, Payload, RetryPolicy, Snooze, processor
from jobkit.ports.inspection import JobState
from jobkit.testing import run_job
from tests.faults.doubles import before
from tests.virtual_site import AnyProcessor, in_virtual_time, open_site


class Early(Payload):
    key: str = "k"
    times: int = 0


def processors(begun: list[tuple[str, float, int]]) -> list[AnyProcessor]:
    async def work(job: Early, ctx: Context) -> None:
        begun.append((ctx.job.id, ctx.clock.now(), ctx.job.attempt))
        ctx.append("begun", 1)
        if sum(id == ctx.job.id for id, *_ in begun) <= job.times:
            raise Snooze(timedelta(seconds=30))

    return [
        processor(type, key=lambda job: job.key, ordered=type == "ordered", retry=RetryPolicy(max_attempts=1))(work)
        for type in ("ordered", "loose")
    ]


@pytest.mark.parametrize("type", ["ordered", "loose"])
@in_virtual_time
async def test_it_runs_again_after_that_time_however_often_and_no_attempt_is_counted(type: str) -> None:
    begun: list[tuple[str, float, int]] = []
    async with open_site(*processors(begun), max_opens=2) as site:
        site.start()
        await site.client.submit(type, Early(times=5), id="a")
        record = await site.ended("a", within=200)
        assert (record.state, record.failures) == (JobState.COMMITTED, ())
        moments = [moment for _, moment, _ in begun]
        assert [attempt for *_, attempt in begun] == [1] * 6
        waits = [later - earlier for earlier, later in itertools.pairwise(moments)]
        assert all(30 <= wait < 31 for wait in waits)
        assert len(await site.log(type, "k")) == 1
        await site.at_rest()
        assert site.witness.count("jobkit.attempts.failed") == 0


@in_virtual_time
async def test_meanwhile_others_run_and_an_ordered_key_waits() -> None:
    begun: list[tuple[str, float, int]] = []
    async with open_site(*processors(begun), concurrency=1) as site:
        site.start()
        for type in ("ordered", "loose"):
            await site.client.submit(type, Early(times=1), id=f"{type}-1")
            await site.client.submit(type, Early(), id=f"{type}-2")
        await site.ended("loose-2", within=5)
        assert (await site.client.status("loose-1")).state is JobState.SCHEDULED
        await site.clock.sleep(20)
        assert (await site.client.status("ordered-2")).state is JobState.QUEUED
        for id in ("loose-1", "ordered-1", "ordered-2"):
            await site.ended(id, within=40)
        await site.at_rest()


@in_virtual_time
async def test_one_that_is_cancelled_meanwhile_is_not_put_back() -> None:
    begun: list[tuple[str, float, int]] = []
    async with open_site(*processors(begun)) as site:

        async def cancelled() -> None:
            assert (await site.client.cancel("a")).cancelled

        site.faults.once("store.snooze", before(cancelled))
        site.start()
        await site.client.submit("loose", Early(times=1), id="a")
        await site.ended("a")
        await site.at_rest()
        assert (await site.client.status("a")).state is JobState.CANCELLED
        assert site.witness.count("jobkit.stale_writes") == 0


async def test_a_plugins_test_sees_it_raised() -> None:
    (_, loose) = processors([])
    with pytest.raises(Snooze) as raised:
        await run_job(loose, Early(times=1))
    assert raised.value.after == timedelta(seconds=30)


@pytest.mark.parametrize("after", [30, None, timedelta(seconds=-1)])
def test_it_takes_a_span_of_time(after: object) -> None:
    with pytest.raises(TypeError, match="timedelta"):
        raise Snooze(after)  # type: ignore[arg-type]
