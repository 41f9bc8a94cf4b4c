"""Hooks in whole workers, in virtual time: they hear what the store has, aside, and stop nobody."""

from datetime import timedelta
from typing import Any

import anyio
import pytest

from jobkit import CancelledEvent, CommittedEvent, Context, DeadEvent, FailedEvent, RetryPolicy, hook, processor
from jobkit.plugin.around import Around
from jobkit.plugin.hooks import JobEvent
from jobkit.plugin.registry import Registry
from tests.steps import Step, step
from tests.virtual_site import Site, in_virtual_time, open_site

heard: list[Any] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    heard.clear()


@hook
async def listen(event: CommittedEvent | FailedEvent | DeadEvent | CancelledEvent) -> None:
    heard.append(event)


@hook
async def burst(event: CommittedEvent) -> None:
    raise SystemExit(3)


@hook
async def hang(event: CommittedEvent) -> None:
    await anyio.sleep_forever()


@processor("fail", key=lambda job: job.on, retry=RetryPolicy(max_attempts=2, initial=timedelta(seconds=1), jitter=0))
async def fail(job: Step, ctx: Context) -> None:
    raise ValueError("never")


def _hear(site: Site, *hooks: Any) -> None:
    site.registry.around = Around.of(hooks)


def _kinds() -> list[str]:
    return [type(event).__name__ for event in heard]


@in_virtual_time
async def test_a_commit_is_heard_of_once_with_job_and_payload() -> None:
    async with open_site(step) as site:
        _hear(site, listen)
        worker = site.start()
        job = await site.client.submit("step", Step(number=7))
        await site.ended(job.id)
        await worker.drain()
        (event,) = heard
        assert (event.job.id, event.job.key, event.job.attempt, event.payload) == (job.id, "k", 1, Step(number=7))


@in_virtual_time
async def test_each_failed_attempt_is_heard_of_and_the_death_with_the_last_error() -> None:
    async with open_site(fail) as site:
        _hear(site, listen)
        worker = site.start()
        job = await site.client.submit("fail", Step())
        assert (await site.ended(job.id)).state == "dead"
        await worker.drain()
        assert _kinds() == ["FailedEvent", "FailedEvent", "DeadEvent"]
        first, last, death = heard
        assert (first.job.attempt, first.retry_in) == (1, timedelta(seconds=1))
        assert (last.job.attempt, last.retry_in) == (2, None)
        assert (death.job.attempt, death.error) == (2, last.error)
        assert death.reason.startswith("ValueError after 2 attempts")


@in_virtual_time
async def test_a_job_that_is_cancelled_while_it_runs_is_heard_of() -> None:
    async with open_site(step) as site:
        _hear(site, listen)
        worker = site.start()
        job = await site.client.submit("step", Step(seconds=100))

        async def running() -> bool:
            return (await site.client.status(job.id)).state == "running"

        await site.until(running)
        await site.client.cancel(job.id)
        await site.until(lambda: bool(heard))
        await worker.drain()
        assert _kinds() == ["CancelledEvent"]


@in_virtual_time
async def test_what_a_hook_raises_is_recorded_and_one_that_hangs_holds_up_no_job() -> None:
    async with open_site(step) as site:
        _hear(site, burst, hang, listen)
        worker = site.start()
        jobs = [await site.client.submit("step", Step(on=f"k{number}")) for number in range(3)]
        for job in jobs:
            assert (await site.ended(job.id)).state == "committed"
        await site.until(lambda: len(heard) == 3)
        await site.until(lambda: len(site.witness.lines("hook failed")) == 6)
        errors = {line["error"].split(":")[0] for line in site.witness.lines("hook failed")}
        assert errors == {"SystemExit", "TimeoutError"}
        assert site.witness.count("jobkit.hooks.failed") == 6
        started = site.clock.now()
        await worker.drain()
        assert site.clock.now() - started < 10


@in_virtual_time
async def test_a_worker_that_stops_waits_for_those_that_run_only_so_long() -> None:
    async with open_site(step) as site:
        _hear(site, hang)
        worker = site.start()
        job = await site.client.submit("step", Step())
        await site.ended(job.id)
        started = site.clock.now()
        await worker.drain()
        assert 4 < site.clock.now() - started < 10


def test_an_event_does_not_show_the_payload() -> None:
    registry = Registry([step])
    payload = registry.get("step").parse(b'{"on": "secret"}')
    event: JobEvent = CancelledEvent(None, payload)  # type: ignore[arg-type]
    assert "secret" not in repr(event)
