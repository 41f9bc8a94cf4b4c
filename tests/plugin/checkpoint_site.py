"""One job on planes in memory, whose attempts run one after another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import structlog

from jobkit import Context, Payload, Processor, Result, processor
from jobkit.backends.registry import memory_planes
from jobkit.model.clock import SystemClock
from jobkit.model.fence import Fence
from jobkit.plugin.registry import Registry
from jobkit.ports.planes import Planes
from jobkit.ports.store import Committed, Effects, Opened
from jobkit.runner.attempt import Attempts, Failed, Processed
from jobkit.runner.decode import Job, decode
from jobkit.telemetry import Telemetry


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


async def write(ctx: Context, name: str, text: str = "text") -> int:
    async with ctx.blobs.create(name) as path:
        path.write_text(text)
    return len(text)


async def a_lie() -> int:
    return "one"  # type: ignore[return-value]
