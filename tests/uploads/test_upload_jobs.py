"""Events as jobs: log, session and the transcode job of a completed upload are one commit, through any trouble."""

from __future__ import annotations

from typing import Any

from jobkit import Context, processor
from jobkit.ports.inspection import JobRecord, JobState
from jobkit.projections.projection import ProjectionState
from tests.faults.doubles import Faults
from tests.uploads.test_session import STARTED, Event, chunk, whole
from tests.virtual_site import Site, in_virtual_time, open_site
from workers.transcode import Transcode
from workers.uploads import UploadEvent, UploadSession, UploadState, VideoUploadCompleted, session, upload


@processor("transcode", key=lambda job: job.video_id)
async def transcode(job: Transcode, ctx: Context) -> str:
    """Stands in for the real one, which needs ffmpeg; records what it was asked for."""
    ctx.append("transcoded", job)
    return job.source


async def submitted(site: Site, *events: Event, key: str = "s") -> list[str]:
    jobs = [site.client.job("upload", UploadEvent(session_id=key, event=event)) for event in events]
    return [one.id for one in await site.client.submit_many(jobs)]


async def ended(site: Site, *events: Event) -> list[JobRecord]:
    return [await site.ended(id) for id in await submitted(site, *events)]


async def shown(site: Site, key: str = "s") -> UploadSession:
    found = session.load(await site.planes.store.record("upload", key, session.record))
    assert isinstance(found, ProjectionState)
    return found.state


async def transcodes(site: Site) -> list[JobRecord]:
    return list(await site.planes.inspection.jobs(type="transcode"))


@in_virtual_time
async def test_a_completed_upload_is_transcoded_once() -> None:
    async with open_site(upload, transcode) as site:
        site.start()
        assert [one.state for one in await ended(site, *whole(3))] == [JobState.COMMITTED] * 5
        assert (await shown(site)).state is UploadState.COMPLETED
        (job,) = await transcodes(site)
        assert (job.id, job.key) == ("upload-s", "v")
        assert (await site.ended(job.id)).result == b'"v.mp4"'
        await site.at_rest()


@in_virtual_time
async def test_an_upload_that_is_not_whole_is_not_transcoded_until_it_is() -> None:
    started, first, second, last = whole(2)
    async with open_site(upload, transcode) as site:
        site.start()
        results = [one.result for one in await ended(site, started, last, second)]
        assert results[-1] == b'{"state":"incomplete","chunks":1,"size":2,"missing":1}'
        assert await transcodes(site) == []
        await ended(site, first)
        assert len(await transcodes(site)) == 1
        await site.at_rest()


@in_virtual_time
async def test_an_event_that_was_there_before_changes_nothing() -> None:
    async with open_site(upload, transcode) as site:
        site.start()
        await ended(site, *whole(2))
        before, log = await shown(site), await site.log("upload", "s")
        assert [one.state for one in await ended(site, *whole(2))] == [JobState.COMMITTED] * 4
        assert (await shown(site), await site.log("upload", "s")) == (before, log)
        assert len(await transcodes(site)) == 1
        await site.at_rest()


@in_virtual_time
async def test_an_event_that_contradicts_the_session_is_dead_lettered_and_the_session_stands() -> None:
    contradictions: list[tuple[Event, str]] = [
        (STARTED.model_copy(update={"source": "other.mp4"}), "was told"),
        (chunk(0).model_copy(update={"sha256": "f" * 64}), "other content"),
        (chunk(2), "not one of the 2"),
        (VideoUploadCompleted(chunks=3, size=6), "was told"),
    ]
    for number, (contradiction, reason) in enumerate(contradictions):
        async with open_site(upload, transcode) as site:
            site.start()
            await ended(site, *whole(2))
            before = await shown(site)
            (dead,) = await ended(site, contradiction)
            assert dead.state is JobState.DEAD, number
            assert reason in (await site.reasons())[0]
            assert await shown(site) == before


@in_virtual_time
async def test_sessions_survive_workers_that_die_in_the_middle() -> None:
    async with open_site(upload, transcode, lease_ttl=2.0, lease_guard=0.2) as site:
        for round in range(6):
            worker = site.start(f"w{round}", faults=Faults(site.clock))
            for key in ("a", "b", "c"):
                await submitted(site, *whole(4)[round : round + 1], key=key)
            if round < 5:
                await site.clock.sleep(0.01 * round)
                await worker.crash()
        for key in ("a", "b", "c"):

            async def whole_now(key: str = key) -> bool:
                return len(await site.log("upload", key)) == 6

            await site.until(whole_now)
            assert (await shown(site, key)).state is UploadState.COMPLETED
        ids: dict[str, Any] = {job.id: job for job in await transcodes(site)}
        assert sorted(ids) == ["upload-a", "upload-b", "upload-c"]
        await site.at_rest()
