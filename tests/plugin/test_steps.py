"""`ctx.step`: what one attempt has done, the next one finds done."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from jobkit import Context, Retry
from jobkit.errors import (
    CheckpointInvalid,
    EffectInvalid,
    LeaseLost,
)
from jobkit.plugin import checkpoints
from jobkit.ports.checkpoints import Checkpoint
from tests.plugin.checkpoint_site import Body, Half, Site, Work, a_lie, open_site, write


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with open_site() as opened:
        yield opened


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
