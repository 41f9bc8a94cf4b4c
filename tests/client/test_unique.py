"""Unique names as a program says them, in virtual time: what it is told, and what is published."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from jobkit import Context, processor
from jobkit.errors import JobNotFound, NotTransactional
from tests.steps import Step, loose, step
from tests.virtual_site import in_virtual_time, open_site


@in_virtual_time
async def test_a_job_that_is_kept_is_what_the_submission_tells_of() -> None:
    async with open_site(step) as site:
        first = await site.client.submit("step", Step(), unique="one")
        assert (first.kept, first.replaced, first.known) == (False, None, False)
        kept = await site.client.submit("step", Step(number=2), unique="one")
        assert (kept.id, kept.key, kept.sequence) == (first.id, "k", 1)
        assert (kept.kept, kept.known, kept.published) == (True, False, True)
        assert await site.queued() == 1


@in_virtual_time
async def test_what_replaces_another_is_published_and_the_other_is_cancelled() -> None:
    async with open_site(loose) as site:
        first = await site.client.submit("loose", Step(), unique="one", after=timedelta(hours=1))
        second = await site.client.submit("loose", Step(number=2), unique="one", on_conflict="replace")
        assert (second.replaced, second.published, second.kept) == (first.id, True, False)
        assert await site.queued() == 1
        record = await site.client.status(first.id)
        assert (record.state, record.ended_by, record.reason) == ("cancelled", "jobkit", f"replaced by {second.id}")


@in_virtual_time
async def test_of_a_batch_only_what_is_left_is_published() -> None:
    async with open_site(step) as site:
        jobs = [
            site.client.job("step", Step(on=on, number=number), unique="one", on_conflict="replace")
            for number, on in enumerate("abc")
        ]
        answers = await site.client.submit_many(jobs)
        assert [answer.replaced for answer in answers] == [None, answers[0].id, answers[1].id]
        assert [answer.published for answer in answers] == [False, False, True]
        assert await site.queued() == 1


@in_virtual_time
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"unique": ""}, "1 to 512 bytes"),
        ({"unique": "\u00e9" * 257}, "1 to 512 bytes"),
        ({"unique": "a\0"}, "control characters"),
        ({"unique": "\ud800"}, "valid Unicode"),
        ({"unique": 7}, "must be text"),
        ({"unique": "a", "while_": "running"}, "while_='running'"),
        ({"unique": "a", "on_conflict": "drop"}, "on_conflict='drop'"),
        ({"while_": "unfinished"}, "go with unique="),
        ({"on_conflict": "replace"}, "go with unique="),
    ],
)
async def test_what_is_no_name_is_refused_before_anything_is_accepted(words: dict[str, Any], told: str) -> None:
    async with open_site(step) as site:
        with pytest.raises(ValueError, match=told):
            await site.client.submit("step", Step(), **words)
        with pytest.raises(ValueError, match=told):
            site.client.job("step", Step(), **words)
        assert await site.planes.inspection.jobs() == []


@in_virtual_time
async def test_a_name_does_without_transactions_of_the_callers() -> None:
    async with open_site(step) as site:
        with pytest.raises(NotTransactional):
            await site.client.submit("step", Step(), unique="one", connection=object())


@in_virtual_time
async def test_debouncing_runs_the_last_once_it_is_quiet() -> None:
    async with open_site(loose) as site:
        site.start()
        for number in range(5):
            last = await site.client.submit(
                "loose", Step(number=number), unique="one", on_conflict="replace", after=timedelta(seconds=10)
            )
            await site.clock.sleep(4.0)
        asked = site.clock.now()
        assert (await site.ended(last.id)).result == b"4"
        assert site.clock.now() >= asked + 5.0
        assert await site.log("loose", "k") == ['{"number":4}']
        await site.at_rest()


@in_virtual_time
async def test_what_changes_while_a_job_runs_has_another_one_run_after_it() -> None:
    async with open_site(step) as site:
        site.start()
        first = await site.client.submit("step", Step(seconds=20.0), unique="one")

        async def runs() -> bool:
            return (await site.client.status(first.id)).state == "running"

        await site.until(runs)
        second = await site.client.submit("step", Step(number=2), unique="one")
        third = await site.client.submit("step", Step(number=3), unique="one")
        assert (second.kept, third.kept, third.id) == (False, True, second.id)
        await site.ended(second.id)
        assert await site.log("step", "k") == ['{"number":1}', '{"number":2}']


@in_virtual_time
async def test_a_follow_up_that_is_not_wanted_is_not_there() -> None:
    @processor("parent", key=lambda job: job.on)
    async def parent(job: Step, ctx: Context) -> str:
        return ctx.submit("loose", Step(number=job.number), unique="one", on_conflict="keep")

    async with open_site(parent, loose) as site:
        there = await site.client.submit("loose", Step(), unique="one", after=timedelta(hours=1))
        site.start()
        done = await site.ended((await site.client.submit("parent", Step(on="p", number=7))).id)
        with pytest.raises(JobNotFound):
            await site.client.status(json.loads(done.result or b""))
        assert (await site.client.status(there.id)).state == "scheduled"
