"""`ctx.checkpoint`, `ctx.resume` and `ctx.step`: what one attempt keeps, the next one finds."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import structlog
from pydantic import BaseModel, SecretStr

from jobkit import Context, Payload, Processor, Result, Retry, processor
from jobkit.backends.registry import memory_planes
from jobkit.errors import (
    AttemptOver,
    CheckpointInvalid,
    EffectInvalid,
    LeaseLost,
    PayloadInvalid,
    Unavailable,
)
from jobkit.model.clock import SystemClock
from jobkit.model.fence import Fence
from jobkit.model.plane import Plane
from jobkit.plugin import checkpoints
from jobkit.plugin.registry import Registry
from jobkit.ports.checkpoints import Checkpoint
from jobkit.ports.planes import Planes
from jobkit.ports.store import Committed, Effects, Opened
from jobkit.runner.attempt import Attempts, Failed, Processed
from jobkit.runner.decode import Job, decode
from jobkit.telemetry import Telemetry
from jobkit.testing import run_job


class Work(Payload):
    on: str = "k"


class Half(Result):
    done: int
    note: str = ""


Body = Callable[[Context], Awaitable[Any]]


class Site:
    """One job on planes in memory, whose attempts run one after another, each under a fence of its own."""

    def __init__(self, planes: Planes) -> None:
        self.planes = planes
        self.token = 0
        self.job: Job | None = None

    async def attempt(self, body: Body, *, store: Any = None, same_fence: bool = False) -> Any:
        """Run one attempt and return what the processor returned, or raise what it raised; nothing is committed."""
        got: list[Any] = []

        @processor("work", key=lambda job: job.on)
        async def work(job: Work, ctx: Context) -> None:
            got.append(await body(ctx))

        done = await self._run(work, store, same_fence=same_fence)
        if isinstance(done, Failed):
            raise done.error
        assert isinstance(done, Processed)
        self.effects = done.effects
        return got[0]

    async def _run(self, work: Processor[Any, Any], store: Any, *, same_fence: bool) -> Any:
        registry = Registry([work])
        if self.job is None:
            await self.planes.store.submit([registry.new_job("work", Work(), submitted_at=1.0)])
            (entry,) = await self.planes.store.outbox(older_than=-1, limit=1)
            decoded = decode(entry.envelope.body, entry.envelope, "", registry, max_bytes=10_000)
            assert isinstance(decoded, Job)
            self.job = decoded
        self.token += not same_fence
        self.fence = Fence(self.token, f"nonce-{self.token}", "me")
        assert isinstance(await self.planes.store.open(self.job.envelope, self.fence), Opened)
        planes = self.planes if store is None else replace(self.planes, store=store)
        attempts = Attempts(planes, SystemClock(), Telemetry(log=structlog.get_logger()), {}, registry)
        return await attempts.run(replace(self.job, processor=work), self.fence, self.token, 0, 1)

    async def commit(self) -> Effects:
        assert self.job is not None
        answer = await self.planes.store.commit(self.job.envelope, self.fence, self.effects)
        assert isinstance(answer, Committed)
        return self.effects


@asynccontextmanager
async def open_site() -> AsyncIterator[Site]:
    async with memory_planes() as planes:
        yield Site(planes)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with open_site() as opened:
        yield opened


async def write(ctx: Context, name: str, text: str = "text") -> int:
    async with ctx.blobs.create(name) as path:
        path.write_text(text)
    return len(text)


# ---- checkpoints -----------------------------------------------------------------------------------------------------


async def test_the_next_attempt_resumes_at_the_last_checkpoint(site: Site) -> None:
    async def first(ctx: Context) -> None:
        assert await ctx.resume(Half) is None
        for done in (10, 50, 90):
            await ctx.checkpoint(Half(done=done))
            assert await ctx.resume(Half) == Half(done=done)
        raise Retry("lost power")

    with pytest.raises(Retry):
        await site.attempt(first)
    assert await site.attempt(lambda ctx: ctx.resume(Half)) == Half(done=90)


async def test_a_checkpoint_of_another_time_that_does_not_validate_is_said_by_the_field(site: Site) -> None:
    class Older(BaseModel):
        finished: int

    class Newer(Half):
        parts: int = 1

    await site.attempt(lambda ctx: ctx.checkpoint(Older(finished=1)))
    expected = r"what is kept in the checkpoint of job \S+ does not validate as Half, .* done: Field required"
    with pytest.raises(CheckpointInvalid, match=expected):
        await site.attempt(lambda ctx: ctx.resume(Half))
    await site.attempt(lambda ctx: ctx.checkpoint(Half(done=2)))
    assert await site.attempt(lambda ctx: ctx.resume(Newer)) == Newer(done=2, parts=1)


async def test_what_does_not_read_back_is_refused_and_what_was_kept_stays(site: Site) -> None:
    class Secretive(BaseModel):
        password: SecretStr

    async def body(ctx: Context) -> Half | None:
        await ctx.checkpoint(Half(done=1))
        with pytest.raises(EffectInvalid, match=re.escape("checkpoint.password is a secret")):
            await ctx.checkpoint(Secretive(password=SecretStr("x")))
        with pytest.raises(EffectInvalid, match=r"checkpoint has \d+ bytes as JSON, more than 1048576"):
            await ctx.checkpoint(Half(done=2, note="x" * checkpoints.MAX_VALUE_BYTES))
        return await ctx.resume(Half)

    assert await site.attempt(body) == Half(done=1)


async def test_who_was_taken_over_keeps_nothing_and_is_told_so(site: Site) -> None:
    async def late(ctx: Context) -> None:
        await ctx.checkpoint(Half(done=1))
        assert site.job is not None
        await site.planes.store.open(site.job.envelope, Fence(99, "newer", "other"))
        for keeping in (ctx.checkpoint(Half(done=2)), ctx.step("s", write, ctx, "x")):
            with pytest.raises(LeaseLost, match="was taken over by a newer lease"):
                await keeping

    await site.attempt(late)
    site.token = 99
    assert await site.attempt(lambda ctx: ctx.resume(Half)) == Half(done=1)


class Doubtful:
    """A store that gives no answer to the first requests to keep something; `arrives`: they took effect."""

    def __init__(self, store: Any, *, arrives: bool, times: int = 1) -> None:
        self._store, self._arrives, self._left = store, arrives, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def save_checkpoint(self, *given: Any) -> Any:
        if self._left:
            self._left -= 1
            if self._arrives:
                await self._store.save_checkpoint(*given)
            raise Unavailable(Plane.STORE, "no answer")
        return await self._store.save_checkpoint(*given)


@pytest.mark.parametrize("arrives", [True, False])
async def test_doubt_about_the_store_is_asked_again(site: Site, arrives: bool) -> None:
    ran: list[int] = []

    async def count(ctx: Context) -> int:
        ran.append(await write(ctx, "x"))
        return len(ran)

    async def body(ctx: Context) -> int:
        await ctx.checkpoint(Half(done=1))
        return await ctx.step("count", count, ctx)

    store = site.planes.store
    assert await site.attempt(body, store=Doubtful(store, arrives=arrives, times=2)) == 1
    assert await site.attempt(body, store=Doubtful(store, arrives=arrives)) == 1
    assert (len(ran), [blob.name for blob in site.effects.blobs]) == (1, ["x"])
    assert await site.attempt(lambda ctx: ctx.resume(Half)) == Half(done=1)


async def test_a_store_that_stays_away_ends_the_attempt_without_counting_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "_PATIENCE_SECONDS", 0.0)
    with pytest.raises(Unavailable):
        await site.attempt(
            lambda ctx: ctx.checkpoint(Half(done=1)), store=Doubtful(site.planes.store, arrives=False, times=9)
        )


async def test_an_attempt_that_is_over_keeps_nothing(site: Site) -> None:
    kept: list[Context] = []

    async def body(ctx: Context) -> None:
        kept.append(ctx)

    await site.attempt(body)
    for keeping in (kept[0].checkpoint(Half(done=1)), kept[0].resume(Half), kept[0].step("s", write, kept[0], "x")):
        with pytest.raises(AttemptOver):
            await keeping


# ---- steps -----------------------------------------------------------------------------------------------------------


async def test_a_step_that_is_done_is_not_run_again_and_its_files_are_committed(site: Site) -> None:
    ran: list[str] = []

    async def cut(ctx: Context, number: int) -> Half:
        ran.append(f"cut {number}")
        await write(ctx, f"part-{number}", "x" * number)
        return Half(done=number)

    async def body(ctx: Context, fail: bool) -> tuple[Half, Half]:
        await write(ctx, "log")
        first = await ctx.step("cut 1", cut, ctx, 1)
        if fail:
            raise Retry("lost power")
        assert await ctx.blobs.files().read("part-1") == b"x"
        return first, await ctx.step("cut 2", cut, ctx, 2)

    with pytest.raises(Retry):
        await site.attempt(partial(body, fail=True))
    assert await site.attempt(partial(body, fail=False)) == (Half(done=1), Half(done=2))
    assert ran == ["cut 1", "cut 2"]
    blobs = {blob.name: blob for blob in (await site.commit()).blobs}
    assert list(blobs) == ["log", "part-1", "part-2"]
    assert "/1-nonce-1.1/" in blobs["part-1"].location
    assert "/2-nonce-2.1/" in blobs["part-2"].location
    assert site.job is not None
    assert await site.planes.store.checkpoints(site.job.envelope.id) == []


async def test_a_step_that_failed_runs_again_in_the_same_attempt_too(site: Site) -> None:
    ran: list[int] = []

    async def flaky() -> int:
        ran.append(1)
        if len(ran) < 3:
            raise ValueError("not yet")
        return len(ran)

    async def body(ctx: Context) -> int:
        with pytest.raises(ValueError, match="not yet"):
            await ctx.step("flaky", flaky)
        return await ctx.step("flaky", flaky)

    with pytest.raises(ValueError, match="not yet"):
        await site.attempt(body)
    assert await site.attempt(lambda ctx: ctx.step("flaky", flaky)) == 3
    assert await site.attempt(lambda ctx: ctx.step("flaky", flaky)) == 3


async def test_steps_side_by_side_and_within_each_other_have_their_own_files(site: Site) -> None:
    async def inner(ctx: Context, name: str) -> str:
        await anyio.lowlevel.checkpoint()
        await write(ctx, f"{name}-inner")
        return name

    async def outer(ctx: Context, name: str) -> str:
        await write(ctx, f"{name}-before")
        return await ctx.step(f"{name} inner", inner, ctx, name)

    async def body(ctx: Context) -> None:
        async with anyio.create_task_group() as tasks:
            for name in ("a", "b"):
                tasks.start_soon(ctx.step, name, outer, ctx, name)

    await site.attempt(body)
    assert site.job is not None
    kept = {one.step: {blob.name for blob in one.blobs} for one in await self_kept(site)}
    assert kept == {
        "a inner": {"a-inner"},
        "b inner": {"b-inner"},
        "a": {"a-before", "a-inner"},
        "b": {"b-before", "b-inner"},
    }
    await site.attempt(body)
    assert sorted(blob.name for blob in site.effects.blobs) == ["a-before", "a-inner", "b-before", "b-inner"]


async def self_kept(site: Site) -> list[Checkpoint]:
    assert site.job is not None
    return list(await site.planes.store.checkpoints(site.job.envelope.id))


async def test_names_are_a_steps_own(site: Site) -> None:
    async def one() -> int:
        return 1

    async def body(ctx: Context) -> None:
        await ctx.step("one", one)
        with pytest.raises(EffectInvalid, match="step 'one' is there twice in this attempt"):
            await ctx.step("one", one)
        for name in ("", "x" * 201, "a\0b"):
            with pytest.raises(EffectInvalid, match="the name of a step must be"):
                await ctx.step(name, one)

    await site.attempt(body)
    await site.attempt(body)


async def test_nothing_is_staged_within_a_step(site: Site) -> None:
    async def stage(ctx: Context, call: str) -> None:
        calls: dict[str, Callable[[], Any]] = {
            "append": lambda: ctx.append("kind", {}),
            "record": lambda: ctx.record("name", 1),
            "submit": lambda: ctx.submit("work", Work()),
            "in_commit": lambda: ctx.in_commit(lambda _: anyio.lowlevel.checkpoint()),
        }
        calls[call]()

    async def body(ctx: Context) -> None:
        for call in ("append", "record", "submit", "in_commit"):
            with pytest.raises(EffectInvalid, match=rf"ctx\.{call} stages what the job commits"):
                await ctx.step(call, stage, ctx, call)
        await stage(ctx, "append")

    await site.attempt(body)
    assert [entry.kind for entry in site.effects.entries] == ["kind"]


async def nothing_said():  # type: ignore[no-untyped-def]
    return {"a": [1, 2.5, None, True, "text"]}


async def a_date() -> datetime:
    return datetime(2026, 11, 27, tzinfo=UTC)


async def pair() -> tuple[int, str]:
    return (1, "a")


async def nothing() -> None: ...


@pytest.mark.parametrize("function", [nothing_said, a_date, pair, nothing, partial(a_date)])
async def test_results_come_back_as_they_were(site: Site, function: Callable[[], Awaitable[object]]) -> None:
    async def body(ctx: Context) -> object:
        return await ctx.step("one", function)

    expected = await function()
    for _ in range(2):
        found = await site.attempt(body)
        assert (found, type(found)) == (expected, type(expected))


async def untyped_pair():  # type: ignore[no-untyped-def]
    return (1, "a")


async def a_lie() -> int:
    return "one"  # type: ignore[return-value]


async def large() -> str:
    return "x" * checkpoints.MAX_VALUE_BYTES


async def an_object() -> Body:
    return write


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (untyped_pair, r"reads back as \[1, 'a'\]: say what the step's function returns"),
        (a_lie, "the result of step 'one' is written as something that does not read back"),
        (large, "more than 1048576: put it into a file"),
        (an_object, "the result of step 'one'|which cannot be written as JSON"),
    ],
)
async def test_a_result_that_does_not_read_back_equal_is_refused(
    site: Site, function: Callable[[], Awaitable[object]], why: str
) -> None:
    with pytest.raises(EffectInvalid, match=why):
        await site.attempt(lambda ctx: ctx.step("one", function))
    assert await self_kept(site) == []


async def test_a_result_that_does_not_validate_any_more_is_said_by_the_step(site: Site) -> None:
    async def was() -> dict[str, str]:
        return {"done": "none"}

    async def now() -> Half:
        return Half(done=1)

    await site.attempt(lambda ctx: ctx.step("one", was))
    with pytest.raises(
        CheckpointInvalid, match=r"what is kept of step 'one' of job .*done: Input should be a valid int"
    ):
        await site.attempt(lambda ctx: ctx.step("one", now))


async def test_steps_have_a_bound_in_number_and_in_size(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "MAX_STEPS", 3)
    monkeypatch.setattr(checkpoints, "MAX_STEPS_BYTES", 100)

    async def text(size: int) -> str:
        return "x" * size

    async def body(ctx: Context) -> None:
        await ctx.checkpoint(Half(done=1, note="x" * 200))
        await ctx.step("1", text, 60)
        with pytest.raises(EffectInvalid, match=r"with step '2' the steps of this job come to \d+ bytes"):
            await ctx.step("2", text, 60)
        await ctx.step("2", text, 1)
        await ctx.step("3", text, 1)
        with pytest.raises(EffectInvalid, match="step '4' is one more than the 3 that a job may have"):
            await ctx.step("4", text, 1)

    await site.attempt(body)


async def test_a_file_of_a_finished_step_is_not_written_again(site: Site) -> None:
    async def before(ctx: Context) -> None:
        await write(ctx, "x")
        await ctx.step("one", write, ctx, "x")

    await site.attempt(lambda ctx: ctx.step("one", write, ctx, "x"))
    with pytest.raises(EffectInvalid, match="blob 'x' was written in step 'one', and again in this attempt"):
        await site.attempt(before)

    async def after(ctx: Context) -> None:
        await ctx.step("one", write, ctx, "x")
        await write(ctx, "x")

    with pytest.raises(EffectInvalid, match="blob 'x' was written in step 'one' already"):
        await site.attempt(after)


async def test_what_was_kept_first_counts_where_an_earlier_request_arrived_late(site: Site) -> None:
    """An attempt's request was under way while the next attempt under the same fence did the step again."""
    early: list[Checkpoint] = []

    class Losing:
        def __getattr__(self, name: str) -> Any:
            return getattr(site.planes.store, name)

        async def save_checkpoint(self, envelope: Any, fence: Any, checkpoint: Checkpoint) -> Any:
            early.append(checkpoint)
            raise LeaseLost("ended here")

    async def draw(ctx: Context, number: int) -> int:
        if early:
            assert site.job is not None
            await site.planes.store.save_checkpoint(site.job.envelope, site.fence, early[0])
        await write(ctx, f"file-{number}")
        return number

    with pytest.raises(LeaseLost):
        await site.attempt(lambda ctx: ctx.step("draw", draw, ctx, 1), store=Losing())
    assert await site.attempt(lambda ctx: ctx.step("draw", draw, ctx, 2), same_fence=True) == 1
    assert [blob.name for blob in site.effects.blobs] == ["file-1"]


# ---- what it costs, and in tests -------------------------------------------------------------------------------------


async def test_a_job_without_any_of_it_asks_the_store_for_nothing_more(site: Site) -> None:
    asked: list[str] = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            return getattr(site.planes.store, name)

    async def body(ctx: Context) -> None:
        ctx.append("kind", {})
        await write(ctx, "x")

    await site.attempt(body, store=Counting())
    assert asked == []
    await site.attempt(lambda ctx: ctx.resume(Half), store=Counting())
    assert asked == ["checkpoints"]


@processor("resumed", key=lambda job: job.on)
async def resumed(job: Work, ctx: Context) -> int:
    found = await ctx.resume(Half) or Half(done=0)
    await ctx.checkpoint(Half(done=found.done + 1))
    return found.done + await ctx.step("add", a_lie)


async def test_run_job_starts_from_what_an_earlier_attempt_has_kept() -> None:
    outcome = await run_job(resumed, Work(), checkpoint=Half(done=40), steps={"add": 2})
    assert outcome.result == 42
    assert outcome.checkpoint == {"done": 41, "note": ""}
    assert outcome.steps == {"add": 2}
    with pytest.raises(CheckpointInvalid):
        await run_job(resumed, Work(), steps={"add": "two"})
    with pytest.raises((EffectInvalid, PayloadInvalid)):
        await run_job(resumed, Work())
