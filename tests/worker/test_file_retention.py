"""Files that are kept for the job that their group ends in, in virtual time: when they go, and when they stay."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import anyio
import pytest

import jobkit.worker.maintenance.file_retention
from jobkit import Context, Payload, processor
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.blob import BlobRef
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.model.plane import Plane
from jobkit.plugin.processor import Processor
from jobkit.plugin.registry import Registry
from jobkit.ports.store import Committed, Effects, Opened
from jobkit.worker.maintenance.file_retention import drop_files_forever
from tests.virtual_site import Site, in_virtual_time, open_site

# A look is taken within this many seconds.
_ROUND = 15
_LONG = 10**9


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobkit.worker.maintenance.file_retention, "_EVERY_SECONDS", 10)
    monkeypatch.setattr(jobkit.worker.maintenance.file_retention, "_BATCH", 2)


class Scene(Payload):
    number: int


class Film(Payload):
    title: str


@processor("scene", key=lambda job: str(job.number), file_retention="group")
async def scene(job: Scene, ctx: Context) -> None: ...


@processor("film", key=lambda job: job.title)
async def film(job: Film, ctx: Context) -> None: ...


class _Blobs:
    """Notes what is to be deleted; is away as often as `away` says."""

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.away = 0

    async def delete(self, locations: Sequence[str]) -> None:
        if self.away:
            self.away -= 1
            raise Unavailable(Plane.BLOBS, "it is away")
        self.deleted += locations


@dataclass
class Studio:
    """A site without workers, whose jobs a test runs by hand."""

    site: Site
    blobs: _Blobs
    tokens: Iterator[int]

    async def split(self, title: str, scenes: int) -> tuple[Envelope, list[Envelope]]:
        """Have a film wait for so many scenes of its own; return its envelope and theirs."""
        store = self.site.planes.store
        job = self.site.client.job("film", Film(title=title), id=title)
        await store.submit([job])
        fence = await self.opened(job.envelope)
        members = [
            replace(self.site.client.job("scene", Scene(number=n), id=f"{title}.{n}"), member_of=title)
            for n in range(scenes)
        ]
        await store.suspend(job.envelope, fence, members=members, on_failure="run")
        return job.envelope, [member.envelope for member in members]

    async def opened(self, envelope: Envelope) -> Fence:
        token = next(self.tokens)
        fence = Fence(token, f"nonce{token}", "me")
        assert isinstance(await self.site.planes.store.open(envelope, fence), Opened)
        return fence

    async def commit(self, envelope: Envelope) -> None:
        """Run a job to its commit; one of a scene makes a file."""
        fence = await self.opened(envelope)
        place = f"scene/{envelope.key}/{fence.token}-{fence.nonce}/scene.mp4"
        made = (BlobRef("scene.mp4", place, 5, "ab" * 32, envelope.id),) if envelope.type == "scene" else ()
        answer = await self.site.planes.store.commit(envelope, fence, Effects(result=b"null", blobs=made))
        assert isinstance(answer, Committed)

    async def have_files(self) -> list[str]:
        """Return the keys of the scenes that have files."""
        return [key.key for key in await self.site.planes.inspection.keys() if key.manifest]

    async def look(self, leads: Callable[[], set[str]] = lambda: {"scene"}) -> None:
        """Look once at what is to be dropped, as a leader does."""
        with anyio.move_on_after(_ROUND):
            await drop_files_forever(
                replace(self.site.planes, blobs=self.blobs),  # type: ignore[arg-type]
                self.site.registry,
                ["film", "scene"],
                leads=leads,
                clock=self.site.clock,
                rng=random.Random(1),
                telemetry=self.site.witness.telemetry,
            )


@asynccontextmanager
async def studio() -> AsyncIterator[Studio]:
    async with open_site(scene, film) as site:
        yield Studio(site, _Blobs(), iter(range(1, 1_000)))


@in_virtual_time
async def test_files_stay_until_the_job_that_waits_for_them_has_committed_and_then_go() -> None:
    async with studio() as at:
        whole, scenes = await at.split("ants", 5)
        for one in scenes[:4]:
            await at.commit(one)
        await at.look()
        assert await at.have_files() == ["0", "1", "2", "3"]
        await at.commit(scenes[4])
        fence = await at.opened(whole)
        await at.look()
        assert (await at.have_files(), at.blobs.deleted) == (["0", "1", "2", "3", "4"], [])
        await at.site.planes.store.commit(whole, fence, Effects(result=b"null"))
        await at.look()
        assert (await at.have_files(), len(at.blobs.deleted)) == ([], 5)


@in_virtual_time
async def test_the_files_of_other_groups_that_are_not_done_stay() -> None:
    async with studio() as at:
        whole, scenes = await at.split("ants", 1)
        await at.commit(scenes[0])
        await at.commit(whole)
        goes_on = at.site.client.job("scene", Scene(number=7), id="then")
        group = await at.site.client.submit_group([Scene(number=8), Scene(number=9)], then=goes_on)
        for member in [member async for member in at.site.client.members(group.id)][:1]:
            envelope = await at.site.planes.inspection.envelope(member.id)
            assert envelope is not None
            await at.commit(envelope)
        await at.look()
        assert await at.have_files() == ["8"]


@in_virtual_time
async def test_a_cancelled_job_leaves_no_files_of_its_members() -> None:
    async with studio() as at:
        whole, scenes = await at.split("ants", 2)
        await at.commit(scenes[0])
        await at.site.client.cancel(whole.id)
        await at.look()
        assert (await at.have_files(), len(at.blobs.deleted)) == ([], 1)
        # One that was at work while its job was cancelled, and that nobody had cancelled yet.
        await at.commit(scenes[1])
        await at.look()
        assert (await at.have_files(), len(at.blobs.deleted)) == ([], 2)


@in_virtual_time
async def test_a_dead_job_may_be_tried_again_and_finds_all_its_members_made() -> None:
    async with studio() as at:
        whole, scenes = await at.split("ants", 1)
        await at.commit(scenes[0])
        await at.site.planes.store.bury(whole, await at.opened(whole), reason="it broke")
        await at.look()
        assert await at.have_files() == ["0"]
        inspection = at.site.planes.inspection
        assert await inspection.requeue_dead((await inspection.dead())[0].number) is not None
        await at.commit(whole)
        await at.look()
        assert await at.have_files() == []


@pytest.mark.parametrize("forgotten", [1, 2])
@in_virtual_time
async def test_what_nobody_knows_any_more_nobody_waits_for(forgotten: int) -> None:
    async with studio() as at:
        whole, scenes = await at.split("ants", 1)
        await at.commit(scenes[0])
        inspection, store = at.site.planes.inspection, at.site.planes.store
        await store.bury(whole, await at.opened(whole), reason="it broke")
        await inspection.prune(older_than=0, keep_at_most=0)
        await at.look()
        assert await at.have_files() == ["0"]
        await inspection.purge_dead((await inspection.dead())[0].number)
        await store.published([entry.position for entry in await store.outbox(older_than=-1, limit=100)])
        # First the group, with the job that waits for it, and then its members.
        for _ in range(forgotten):
            await inspection.prune(older_than=0, keep_at_most=0)
        known = [await inspection.job(job.id) is not None for job in (whole, scenes[0])]
        assert known == [False, forgotten == 1]
        await at.look()
        assert (await at.have_files(), len(at.blobs.deleted)) == ([], 1)


@in_virtual_time
async def test_files_of_a_job_of_no_group_stay_as_long_as_it_is_known() -> None:
    async with studio() as at:
        job = at.site.client.job("scene", Scene(number=1), id="alone")
        await at.site.planes.store.submit([job])
        await at.commit(job.envelope)
        await at.look()
        assert await at.have_files() == ["1"]


@in_virtual_time
async def test_files_that_another_job_of_the_key_has_made_since_are_its_own() -> None:
    async with studio() as at:
        first, (early,) = await at.split("ants", 1)
        await at.commit(early)
        await at.commit(first)
        _, (late,) = await at.split("bees", 1)
        await at.commit(late)
        await at.look()
        assert (await at.have_files(), at.blobs.deleted) == (["0"], [])


@in_virtual_time
async def test_bytes_that_cannot_be_deleted_now_are_left_to_a_sweep_and_the_next_look_goes_on() -> None:
    async with studio() as at:
        at.blobs.away = 1
        whole, scenes = await at.split("ants", 3)
        for one in [*scenes, whole]:
            await at.commit(one)
        await at.look()
        assert (await at.have_files(), at.blobs.deleted) == (["1", "2"], [])
        await at.look()
        assert (await at.have_files(), len(at.blobs.deleted)) == ([], 2)


@in_virtual_time
async def test_who_no_longer_leads_leaves_the_rest_to_who_does() -> None:
    async with studio() as at:
        whole, scenes = await at.split("ants", 4)
        for one in [*scenes, whole]:
            await at.commit(one)
        # Asked as the look begins, and before each two keys.
        answers = iter([{"scene"}, {"scene"}])
        await at.look(lambda: next(answers, set()))
        assert await at.have_files() == ["2", "3"]


def test_a_declaration_that_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigurationError, match='file_retention must be "group"'):
        processor("a", key=lambda job: job.title, file_retention="ever")  # type: ignore[arg-type]


def test_the_types_of_a_group_keep_their_common_files_alike() -> None:
    async def one(job: Film, ctx: Context) -> None: ...

    def declared(name: str, retention: Literal["group"] | None) -> Processor[Any, Any]:
        return processor(name, key=lambda job: job.title, group="films", file_retention=retention)(one)

    with pytest.raises(ConfigurationError, match="one file_retention"):
        Registry([declared("a", "group"), declared("b", None)])
