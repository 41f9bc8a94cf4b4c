"""`ctx.checkpoint` and `ctx.resume`: what one attempt keeps, the next one finds."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from jobkit import Context, Retry, processor
from jobkit.errors import (
    AttemptOver,
    CheckpointInvalid,
    EffectInvalid,
    LeaseLost,
    PayloadInvalid,
    Unavailable,
)
from jobkit.model.fence import Fence
from jobkit.model.plane import Plane
from jobkit.plugin import checkpoints
from jobkit.testing import run_job
from tests.plugin.checkpoint_site import Half, Site, Work, a_lie, open_site, write


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with open_site() as opened:
        yield opened


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
