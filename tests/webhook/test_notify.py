"""`notify=`: an event exists if, and only if, its job took effect."""

from __future__ import annotations

import json

import pytest

from jobkit import Context, JobInfo, Notification, Payload, Reject, Result, processor
from jobkit.errors import ConfigurationError
from jobkit.model.envelope import Envelope
from jobkit.ports.inspection import JobState
from jobkit.testing import run_job
from tests.virtual_site import in_virtual_time, open_site
from workers.webhook import webhook_event


class Render(Payload):
    video: str
    callback: str | None = None
    broken: bool = False


class Rendered(Result):
    frames: int


class Told(Payload):
    url: str = ""


@processor("told", key=lambda job: job.url or "k")
async def told(job: Told, ctx: Context) -> None: ...


def _event(submitted: Envelope) -> dict[str, object]:
    payload = json.loads(submitted.body)
    assert isinstance(payload, dict)
    return payload


async def test_an_event_tells_of_the_job_and_its_result() -> None:
    from workers.webhook import webhook

    @processor("render", key=lambda job: job.video, notify=[webhook_event("render.done", to=lambda job: job.callback)])
    async def render(job: Render, ctx: Context) -> Rendered:
        return Rendered(frames=25)

    outcome = await run_job(render, Render(video="v", callback="https://x.example/"), knows=[webhook])
    (submitted,) = outcome.submitted
    assert submitted.type == "webhook"
    assert _event(submitted) == {
        "url": "https://x.example/",
        "event": "render.done",
        "data": {"job": outcome.record.id, "type": "render", "key": "v", "result": {"frames": 25}},
        "subject": outcome.record.id,
        "secret": "default",
        "ended": None,
    }
    assert (await run_job(render, Render(video="v"), knows=[webhook])).submitted == []


async def test_an_author_says_what_is_told_and_who_signs() -> None:
    from workers.webhook import webhook

    event = webhook_event(
        "render.done",
        to="https://x.example/",
        data=lambda job, result: {"video": job.video, "result": result},
        secret=lambda job: f"tenant-{job.video}",
    )

    @processor("render", key=lambda job: job.video, notify=[event, event])
    async def render(job: Render, ctx: Context) -> Rendered:
        return Rendered(frames=1)

    outcome = await run_job(render, Render(video="v"), knows=[webhook])
    first, second = map(_event, outcome.submitted)
    assert first == second
    assert (first["data"], first["secret"]) == ({"video": "v", "result": {"frames": 1}}, "tenant-v")


def _tell(job: Render, result: Rendered, info: JobInfo) -> Notification:
    return Notification("told", Told(url=job.video))


@in_virtual_time
async def test_a_job_that_did_not_take_effect_tells_nobody() -> None:
    @processor("render", key=lambda job: job.video, notify=[_tell])
    async def render(job: Render, ctx: Context) -> Rendered:
        if job.broken:
            raise Reject("broken")
        return Rendered(frames=1)

    async with open_site(render, told) as site:
        site.start()
        good = await site.client.submit("render", Render(video="v"))
        bad = await site.client.submit("render", Render(video="w", broken=True))
        assert (await site.ended(good.id)).state is JobState.COMMITTED
        assert (await site.ended(bad.id)).state is JobState.DEAD

        async def all_committed() -> bool:
            return (await site.planes.inspection.counts()).jobs[JobState.COMMITTED] == 2

        await site.until(all_committed)
        assert len(await site.planes.inspection.jobs(type="told")) == 1


def test_what_is_no_function_is_refused_at_the_declaration() -> None:
    with pytest.raises(ConfigurationError, match="notify must be a list of functions"):
        processor("render", key=lambda job: job.video, notify="https://x.example/")  # type: ignore[arg-type]
