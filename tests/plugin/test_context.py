"""The context of an attempt, in real time with real files: everything staged is private until it commits."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from jobkit import Context, Payload, Result, Retry, RetryPolicy, processor
from jobkit.backends.registry import memory_planes
from jobkit.client import Client
from jobkit.errors import UnknownType
from jobkit.plugin.processor import Processor
from jobkit.plugin.registry import Registry
from jobkit.ports.inspection import JobRecord
from jobkit.testing import run_job
from jobkit.worker import Worker
from tests.steps import Step, loose
from tests.virtual_site import settings_of


class Count(Result):
    """A record."""

    n: int


class Film(Payload):
    """A payload whose values are richer than JSON."""

    source: Path
    at: timedelta


@processor("filming", key=lambda job: str(job.source))
async def filming(job: Film, ctx: Context) -> float:
    """Give back what came."""
    assert isinstance(job.source, Path)
    return job.at.total_seconds()


async def test_run_job_returns_all_that_the_job_committed() -> None:
    @processor("everything", key=lambda job: job.on, ordered=True)
    async def everything(job: Step, ctx: Context) -> Count:
        assert (ctx.job.key, ctx.job.attempt, ctx.job.sequence) == ("k", 1, 1)
        assert await ctx.read("count", Count) is None
        ctx.record("count", Count(n=1))
        assert await ctx.read("count", Count) == Count(n=1)
        ctx.record("count", Count(n=2))
        ctx.record("plain", [1, "two"])
        ctx.append("began", {"number": job.number})
        ctx.append("ended", Count(n=3))
        async with ctx.blobs.create("a/poster.jpg") as path:
            await anyio.Path(path).write_bytes(b"jpeg")
        async with ctx.blobs.directory("hls") as folder:
            await anyio.Path(folder / "sub").mkdir()
            for name in ("index.m3u8", "sub/1.ts"):
                await anyio.Path(folder / name).write_bytes(name.encode())
        await ctx.progress(2.0, "more than all")
        ctx.submit("loose", Step(number=9), id="next", key="other")
        return Count(n=4)

    outcome = await run_job(everything, Step(number=5), knows=[loose])
    assert outcome.result == Count(n=4)
    assert outcome.record.state == "committed"
    assert [(entry.kind, entry.data) for entry in outcome.log] == [("began", b'{"number":5}'), ("ended", b'{"n":3}')]
    assert outcome.records == {"count": {"n": 2}, "plain": [1, "two"]}
    assert outcome.blobs == {
        "a/poster.jpg": b"jpeg",
        "hls/index.m3u8": b"index.m3u8",
        "hls/sub/1.ts": b"sub/1.ts",
    }
    assert [(job.id, job.type, job.key) for job in outcome.submitted] == [("next", "loose", "other")]
    assert outcome.submitted[0].submitted_at > 0


async def test_run_job_raises_what_the_processor_raises() -> None:
    @processor("failing", key=lambda job: job.on)
    async def failing(job: Step, ctx: Context) -> None:
        raise Retry("as it is")

    with pytest.raises(Retry, match="as it is"):
        await run_job(failing, Step())


async def test_run_job_hands_the_payload_over_as_a_worker_does() -> None:
    assert (await run_job(filming, Film(source=Path("/a"), at=timedelta(seconds=2)))).result == 2.0


async def test_a_follow_up_of_a_type_that_is_not_known_is_refused_at_once() -> None:
    @processor("parent", key=lambda job: job.on)
    async def parent(job: Step, ctx: Context) -> None:
        ctx.submit("loose", Step())

    with pytest.raises(UnknownType):
        await run_job(parent, Step())


async def test_a_file_that_was_not_written_is_an_error() -> None:
    @processor("empty", key=lambda job: job.on)
    async def empty(job: Step, ctx: Context) -> None:
        async with ctx.blobs.create("nothing"):
            pass

    with pytest.raises(FileNotFoundError):
        await run_job(empty, Step())


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../up", "a/../../up", "a\0b"])
async def test_a_blob_cannot_leave_its_job(name: str) -> None:
    @processor("climbing", key=lambda job: job.on)
    async def climbing(job: Step, ctx: Context) -> None:
        async with ctx.blobs.create(name):
            pytest.fail("it got a path")

    with pytest.raises(ValueError, match="must be a relative path"):
        await run_job(climbing, Step())


async def test_a_block_that_fails_leaves_no_blob() -> None:
    @processor("breaking", key=lambda job: job.on)
    async def breaking(job: Step, ctx: Context) -> int:
        async def half() -> None:
            async with ctx.blobs.create("half") as path:
                await anyio.Path(path).write_bytes(b"half")
                raise KeyError

        with pytest.raises(KeyError):
            await half()
        return len(ctx.blobs.written)

    outcome = await run_job(breaking, Step())
    assert (outcome.result, outcome.blobs) == (0, {})


async def test_the_working_directory_is_gone_afterwards() -> None:
    @processor("working", key=lambda job: job.on)
    async def working(job: Step, ctx: Context) -> str:
        directory = await ctx.workdir()
        assert directory == await ctx.workdir()
        (directory / "scratch").touch()
        return str(directory)

    outcome = await run_job(working, Step())
    assert not await anyio.Path(outcome.result).exists()


async def _work(processor: Processor[Any, Any], payload: Payload) -> tuple[JobRecord, dict[str, bytes], list[str]]:
    """Run a job on a whole worker in real time; return its record, its committed blobs and the dead letters."""
    async with memory_planes() as planes:
        registry, settings = Registry([processor]), settings_of(partitions=1)
        client, worker = Client(planes, registry, settings), Worker(planes, registry, [processor.name], settings)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            job = await client.submit(processor.name, payload)
            async for record in client.watch(job.id, 20):
                last = record
            worker.stop()
        key = await planes.inspection.key(processor.name, job.key)
        assert key is not None
        blobs = {
            blob.name: b"".join([chunk async for chunk in planes.blobs.read(blob.location)]) for blob in key.manifest
        }
        return last, blobs, [letter.reason for letter in await planes.inspection.dead()]


@pytest.mark.parametrize("ordered", [True, False])
async def test_an_attempt_can_write_the_files_that_a_failed_one_wrote_before_it(ordered: bool) -> None:
    """Blobs never change, and a retry in place keeps its fence: attempts must not meet each other's files."""

    @processor(
        "writing", key=lambda job: job.on, ordered=ordered, retry=RetryPolicy(max_attempts=3, initial=timedelta(0))
    )
    async def writing(job: Step, ctx: Context) -> int:
        async with ctx.blobs.create("poster.jpg") as path:
            await anyio.Path(path).write_bytes(f"attempt {ctx.job.attempt}".encode())
        if ctx.job.attempt < 3:
            raise Retry("once more")
        return ctx.job.attempt

    record, blobs, dead = await _work(writing, Step())
    assert dead == []
    assert (record.state, blobs) == ("committed", {"poster.jpg": b"attempt 3"})
