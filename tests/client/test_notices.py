"""`notify=` of a submit: there is an event if, and only if, that job ended in one of the ways that it names."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import JsonValue

from jobkit import Context, JobEnd, Notification, Payload, Reject, SyncContext, processor
from jobkit.errors import PayloadInvalid, UnknownType
from jobkit.model.notice import ENDS, MAX_NOTICES, MAX_NOTICES_BYTES, MAX_RESULT_BYTES
from jobkit.plugin.type_definition import definition_of, published
from jobkit.ports.inspection import JobState
from jobkit.testing import run_job
from tests.faults.doubles import Faults
from tests.virtual_site import Site, in_virtual_time, open_site


class Draw(Payload):
    picture: str
    broken: bool = False
    size: int = 3


@processor("draw", key=lambda job: job.picture)
async def draw(job: Draw, ctx: Context) -> str:
    if job.broken:
        raise Reject("broken")
    return "x" * job.size


class Tell(Payload):
    whom: str
    ended: JobEnd | None = None


@processor("tell", key=lambda job: job.ended.job if job.ended else "nobody", priority="high")
async def tell(job: Tell, ctx: Context) -> JsonValue:
    assert job.ended is not None
    return job.model_dump(mode="json")


class Note(Payload):
    text: str


@processor("note", key=lambda job: job.text, group="notes")
async def note(job: Note, ctx: Context) -> None: ...


@processor("tally", key=lambda job: job.ended.job if job.ended else "nobody", group="notes")
async def tally(job: Tell, ctx: Context) -> JsonValue:
    return job.model_dump(mode="json")


@processor("in-turn", key=lambda job: job.text, ordered=True)
async def in_turn(job: Note, ctx: Context) -> None: ...


ANN = Notification("tell", Tell(whom="ann"))


async def _results(site: Site, type: str) -> list[Any]:
    async def all_ended() -> bool:
        return all(one.state.ended for one in await site.planes.inspection.jobs())

    await site.until(all_ended)
    found = [await site.client.status(job.id) for job in await site.planes.inspection.jobs(type=type)]
    return [json.loads(job.result or b"null") for job in found]


@in_virtual_time
async def test_a_job_that_takes_effect_tells_of_it_and_of_its_result() -> None:
    async with open_site(draw, tell, note, tally) as site:
        handle = await draw.submit(
            site.client, Draw(picture="p"), notify=[ANN, Notification("tally", {"whom": "bob"}), ANN]
        )
        site.start()
        ended = {"job": handle.id, "type": "draw", "key": "p", "state": "committed", "result": "xxx"}
        assert await _results(site, "tell") == [{"whom": "ann", "ended": ended}] * 2
        assert await _results(site, "notes") == [{"whom": "bob", "ended": ended}]
        assert {job.key for job in await site.planes.inspection.jobs(type="tell")} == {handle.id}


@in_virtual_time
async def test_a_job_that_takes_no_effect_tells_nobody() -> None:
    async with open_site(draw, tell) as site:
        dead = await draw.submit(site.client, Draw(picture="p", broken=True), notify=[ANN])
        cancelled = await draw.submit(site.client, Draw(picture="q"), notify=[ANN])
        await cancelled.cancel()
        site.start()
        assert (await site.ended(dead.id)).state is JobState.DEAD
        assert await _results(site, "tell") == []


@in_virtual_time
async def test_an_end_is_told_by_who_names_it_and_by_nobody_else() -> None:
    async with open_site(draw, tell) as site:
        notify = [Notification("tell", Tell(whom=end), on=[end]) for end in ENDS]
        notify.append(Notification("tell", Tell(whom="all"), on=["expired", "cancelled", "dead", "committed"]))
        for key, options in (("committed", {}), ("dead", {"broken": True}), ("cancelled", {}), ("expired", {})):
            expires = timedelta(seconds=1) if key == "expired" else None
            handle = await draw.submit(site.client, Draw(picture=key, **options), notify=notify, expires=expires)
            if key == "cancelled":
                await handle.cancel()
        await site.clock.sleep(2)
        site.start()
        told = [(one["whom"], one["ended"]["key"], one["ended"]["state"]) for one in await _results(site, "tell")]
        assert sorted(told) == sorted((whom, end, end) for end in ENDS for whom in (end, "all"))


@in_virtual_time
async def test_a_follow_up_is_told_of_as_well() -> None:
    @processor("sketch", key=lambda job: job.picture)
    async def sketch(job: Draw, ctx: Context) -> None:
        notify = [Notification("tell", Tell(whom="ann"), on=["dead", "committed"])]
        ctx.submit("draw", job, notify=notify)
        ctx.submit("draw", Draw(picture="fine"), notify=notify)
        with pytest.raises(UnknownType):
            ctx.submit("draw", job, notify=[Notification("nosuch", Tell(whom="ann"))])

    async with open_site(draw, sketch, tell) as site:
        await sketch.submit(site.client, Draw(picture="p", broken=True))
        site.start()
        told = [(one["ended"]["key"], one["ended"]["state"]) for one in await _results(site, "tell")]
        assert sorted(told) == [("fine", "committed"), ("p", "dead")]


async def test_a_follow_up_of_a_plain_function_is_told_of_as_well() -> None:
    @processor("trace", key=lambda job: job.picture)
    def trace(job: Draw, ctx: SyncContext) -> None:
        ctx.submit("draw", job, notify=[replace(ANN, on=["dead"])])

    (submitted,) = (await run_job(trace, Draw(picture="p"), knows=[draw, tell])).submitted
    assert [(notice.type, notice.on) for notice in submitted.notices] == [("tell", ("dead",))]


@in_virtual_time
async def test_a_processor_tells_of_its_commits_alone() -> None:
    @processor("paint", key=lambda job: job.picture, notify=[lambda *_: replace(ANN, on=["dead"])])
    async def paint(job: Draw, ctx: Context) -> None: ...

    async with open_site(paint, tell) as site:
        submitted = await site.client.submit("paint", Draw(picture="p"))
        site.start()
        record = await site.ended(submitted.id)
        assert (record.state, "that is for a submit" in record.failures[0].error) == (JobState.DEAD, True)


@in_virtual_time
async def test_a_letter_that_is_requeued_and_a_job_that_is_taken_over_tell_once() -> None:
    attempts = 0

    @processor("late", key=lambda job: job.picture)
    async def late(job: Draw, ctx: Context) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise Reject("not yet")
        await ctx.clock.sleep(3)

    async with open_site(late, tell) as site:
        first = site.start("a", faults=Faults(site.clock))
        submitted = await site.client.submit("late", Draw(picture="p"), notify=[ANN])
        assert (await site.ended(submitted.id)).state is JobState.DEAD
        (letter,) = await site.planes.inspection.dead()
        await site.planes.inspection.requeue_dead(letter.number)
        await site.until(lambda: attempts == 2)
        await first.crash()
        site.start("b")
        assert len(await _results(site, "tell")) == 1
        assert attempts == 3


@in_virtual_time
async def test_what_is_submitted_later_or_together_tells_too() -> None:
    async with open_site(draw, tell) as site:
        later = site.client.job("draw", Draw(picture="p"), after=timedelta(seconds=5), notify=[ANN])
        await site.client.submit_many([later, site.client.job("draw", Draw(picture="q"))])
        await site.client.submit_group(
            [site.client.job("draw", Draw(picture=f"g{n}"), notify=[ANN]) for n in range(2)], then=Draw(picture="r")
        )
        site.start()
        assert sorted(one["ended"]["key"] for one in await _results(site, "tell")) == ["g0", "g1", "p"]


@in_virtual_time
async def test_a_large_result_is_left_out() -> None:
    async with open_site(draw, tell) as site:
        await site.client.submit("draw", Draw(picture="p", size=MAX_RESULT_BYTES), notify=[ANN])
        site.start()
        (told,) = await _results(site, "tell")
        assert told["ended"]["result"] is None


@in_virtual_time
async def test_a_program_without_the_code_has_it_told() -> None:
    async with open_site(draw) as site:
        notify = [Notification("tell", {"whom": "ann"}, key="k")]
        with pytest.raises(UnknownType, match="no worker has published it"):
            await site.client.submit("draw", Draw(picture="p"), notify=notify)
        await site.planes.inspection.save_types([published(definition_of(tell))])
        with pytest.raises(PayloadInvalid, match="whom"):
            await site.client.submit("draw", Draw(picture="p"), notify=[Notification("tell", {"who": "ann"})])
        submission = await site.client.submit("draw", Draw(picture="p"), notify=notify)
        site.start()
        await site.ended(submission.id)
        (told,) = await site.planes.inspection.jobs(type="tell")
        assert (told.key, told.priority) == ("k", "high")


@in_virtual_time
async def test_what_cannot_be_told_is_refused_before_anything_is_accepted() -> None:
    async with open_site(draw, tell, in_turn) as site:
        for notify, problem in (
            ([Notification("in-turn", Note(text="t"))], "is ordered"),
            ([ANN] * (MAX_NOTICES + 1), "at most"),
            ([Notification("tell", Tell(whom="x" * MAX_NOTICES_BYTES))], "bytes"),
            ([Notification("tell", Note(text="t"))], "takes a Tell, not a Note"),
        ):
            with pytest.raises(PayloadInvalid, match=problem):
                await site.client.submit("draw", Draw(picture="p"), notify=notify)
        with pytest.raises(ValueError, match="on= names ends of a job"):
            await site.client.submit("draw", Draw(picture="p"), notify=[replace(ANN, on=["ended"])])  # type: ignore[list-item]
        assert await site.planes.inspection.jobs() == []
