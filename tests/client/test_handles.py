"""Handles: typed results and progress, errors that say how a job ended, and one look for all who wait."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import anyio
import pytest

from jobkit import Client, Context, Handle, Payload, Reject, Result, processor
from jobkit.errors import ConfigurationError, JobCancelled, JobDead, JobExpired, JobNotFound, Unavailable, WaitTimeout
from jobkit.plugin.processor import SubmitOptions
from jobkit.ports.inspection import JobState
from tests.faults.doubles import Call, Faults, faulty_planes, lost_request
from tests.steps import Step, loose, step
from tests.virtual_site import Site, in_virtual_time, open_site


class Video(Payload):
    name: str
    seconds: float = 0.0


class Length(Result):
    frames: int


@processor("measure", key=lambda job: job.name)
async def measure(job: Video, ctx: Context) -> Length:
    """Count frames."""
    if job.name == "broken":
        raise Reject("no video at all")
    for part in range(4):
        await ctx.progress(part / 4, f"part {part}")
        await ctx.clock.sleep(job.seconds)
    return Length(frames=7)


def counting(site: Site) -> tuple[Client, Counter[str]]:
    """A client whose calls of the store are counted."""
    faults, calls = Faults(site.clock), Counter[str]()

    async def count(call: Call) -> Any:
        calls[call.operation] += 1
        return await call.invoke()

    faults.always("store.*", count)
    return Client(faulty_planes(site.planes, faults), site.registry, site.settings, site.clock), calls


@in_virtual_time
async def test_a_result_is_the_model_that_the_processor_declares() -> None:
    async with open_site(measure) as site:
        site.start()
        handle = await measure.submit(site.client, Video(name="a"), id="one")
        assert handle.id == "one"
        assert await handle.result(timeout=60) == Length(frames=7)
        # Later and elsewhere, and as often as one likes.
        assert await site.client.handle("one", measure).result() == Length(frames=7)
        assert await site.client.handle("one").result() == {"frames": 7}


@in_virtual_time
async def test_a_typed_submit_needs_no_plugin_to_be_named() -> None:
    async with open_site(measure) as site:
        site.start()
        client = Client(site.planes, type(site.registry)([]), site.settings, site.clock)
        assert await (await measure.submit(client, Video(name="a"))).result(60) == Length(frames=7)


@in_virtual_time
async def test_options_of_a_typed_submit_are_those_of_submit() -> None:
    async with open_site(measure) as site:
        first = await measure.submit(site.client, Video(name="a"), id="one", unique="u", key="k")
        kept = await measure.submit(site.client, Video(name="a"), unique="u", on_conflict="keep")
        assert kept.id == first.id
        assert (await first.status()).key == "k"


@in_virtual_time
async def test_who_waits_is_told_how_a_job_ended_without_a_result() -> None:
    async with open_site(measure) as site:
        broken = await measure.submit(site.client, Video(name="broken"))
        cancelled = await measure.submit(site.client, Video(name="a"))
        late = await measure.submit(site.client, Video(name="b"), expires=timedelta(seconds=1))
        await cancelled.cancel(reason="too long", by="ann")
        with pytest.raises(JobCancelled, match="cancelled by ann: too long") as said:
            await cancelled.result()
        assert (said.value.by, said.value.reason) == ("ann", "too long")
        await site.clock.sleep(5)
        site.start()
        with pytest.raises(JobExpired):
            await late.result(60)
        with pytest.raises(JobDead, match="no video at all") as dead:
            await broken.result(60)
        assert dead.value.id == broken.id
        assert [failure.attempt for failure in dead.value.failures] == [1]
        with pytest.raises(JobNotFound):
            await site.client.handle("nobody", measure).result(60)


@in_virtual_time
async def test_a_wait_that_is_over_says_how_far_the_job_is() -> None:
    async with open_site(step) as site:
        handle = await step.submit(site.client, Step())
        began = site.clock.now()
        with pytest.raises(WaitTimeout, match=r"is still queued after 2\.5 s"):
            await handle.result(timeout=2.5)
        assert site.clock.now() - began == pytest.approx(2.5, abs=0.1)
        site.start()
        assert await handle.result(timeout=60) == 1


@in_virtual_time
async def test_progress_is_told_until_the_end() -> None:
    async with open_site(measure) as site:
        site.start()
        handle = await measure.submit(site.client, Video(name="a", seconds=3))
        told = [progress async for progress in handle.progress()]
        assert [(one.fraction, one.message) for one in told if one.state is JobState.RUNNING][-3:] == [
            (0.25, "part 1"),
            (0.5, "part 2"),
            (0.75, "part 3"),
        ]
        assert told[-1].state is JobState.COMMITTED


@in_virtual_time
async def test_a_handle_for_a_job_of_another_type_says_so() -> None:
    async with open_site(measure, step) as site:
        submission = await site.client.submit("step", Step())
        with pytest.raises(ConfigurationError, match="is of type 'step', and this handle is for one of type 'measure'"):
            await site.client.handle(submission.id, measure).result()


@in_virtual_time
async def test_a_thousand_who_wait_are_one_wait_and_one_look_each_time() -> None:
    async with open_site(loose) as site:
        client, calls = counting(site)
        jobs = [client.job("loose", Step(on=f"k{number % 50}", number=number)) for number in range(1000)]
        handles = [client.handle(one.id, loose) for one in await client.submit_many(jobs)]
        calls.clear()
        ended: list[str] = []

        async def wait(handle: Handle[int]) -> None:
            with pytest.raises(JobCancelled):
                await handle.result()
            ended.append(handle.id)

        async with anyio.create_task_group() as group:
            for handle in handles:
                group.start_soon(wait, handle)
            await site.clock.sleep(30)
            waiting = Counter(calls)
            for start in range(0, 1000, 20):
                ids = [handle.id for handle in handles[start : start + 20]]
                await site.planes.inspection.cancel(ids, by="ann", reason="")
                await site.clock.sleep(0.1)
        assert ended == [handle.id for handle in handles]
        # Nothing happened for half a minute: a look and a wait each second, over all of them together.
        assert waiting["store.wait_finished"] <= 40
        assert waiting["store.records"] <= 40
        # Then they ended twenty by twenty, and nobody was looked for alone.
        assert sum((calls - waiting).values()) <= 150
        assert set(calls) == {"store.wait_finished", "store.records"}


async def _collect(handle: Handle[int], results: list[int]) -> None:
    results.append(await handle.result())


@in_virtual_time
async def test_who_stops_waiting_leaves_the_others_to_go_on() -> None:
    async with open_site(loose) as site:
        client, _ = counting(site)
        handles = [await loose.submit(client, Step(on=f"k{number}", number=number)) for number in range(4)]
        results: list[int] = []
        async with anyio.create_task_group() as group:
            scopes = [anyio.CancelScope() for _ in handles]

            async def collect(at: int) -> None:
                with scopes[at]:
                    await _collect(handles[at], results)

            for at in range(4):
                group.start_soon(collect, at)
            # The first of them is the one that looks for all; the next one has just been told to.
            await site.clock.sleep(2)
            scopes[0].cancel()
            scopes[1].cancel()
            await site.clock.sleep(2)
            site.start()
        assert sorted(results) == [2, 3]


@in_virtual_time
async def test_a_job_that_is_waited_for_later_is_seen_at_once() -> None:
    async with open_site(loose) as site:
        site.start()
        first = await loose.submit(site.client, Step(on="a", seconds=50))
        results: list[int] = []
        async with anyio.create_task_group() as group:
            group.start_soon(_collect, first, results)
            await site.clock.sleep(10.2)
            began = site.clock.now()
            second = await loose.submit(site.client, Step(on="b", number=2))
            assert await second.result() == 2
            assert site.clock.now() - began < 0.7
            assert not results


@in_virtual_time
async def test_everybody_who_waits_hears_that_the_store_is_away_and_may_ask_again() -> None:
    async with open_site(loose) as site:
        away = Faults(site.clock)
        client = Client(faulty_planes(site.planes, away), site.registry, site.settings, site.clock)
        handles = [await loose.submit(client, Step(on=on)) for on in "abc"]
        heard: list[str] = []

        async def ask(at: int) -> None:
            with pytest.raises(Unavailable):
                await handles[at].result()
            heard.append(handles[at].id)

        async with anyio.create_task_group() as group:
            for at in range(3):
                group.start_soon(ask, at)
            await site.clock.sleep(3)
            away.always("store.records", lost_request)
        assert sorted(heard) == sorted(handle.id for handle in handles)
        site.start()
        again = Client(site.planes, site.registry, site.settings, site.clock)
        assert [await again.handle(handle.id, loose).result(60) for handle in handles] == [1, 1, 1]


def test_every_option_of_submit_may_be_given_to_a_typed_one() -> None:
    def named() -> Iterator[str]:
        for parameter in inspect.signature(Client.submit).parameters.values():
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                yield parameter.name

    assert set(SubmitOptions.__annotations__) == set(named())
