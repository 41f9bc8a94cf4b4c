"""Jobs that have priorities, and a witness of when each of them began."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from jobkit import Concurrency, Context, Payload, Retry, RetryPolicy, Snooze, processor
from tests.virtual_site import AnyProcessor


class Errand(Payload):
    """A job that takes so many seconds; it fails the first `fails` times, and is put off once for so long."""

    name: str
    on: str = ""
    seconds: float = 0.5
    fails: int = 0
    put_off: float = 0.0


class Errands:
    """A processor that knows priorities, one that does not, and a witness of when each job began."""

    def __init__(self, limits: Sequence[Concurrency] = ()) -> None:
        self.began: dict[str, float] = {}
        self._put_off: set[str] = set()
        retry = RetryPolicy(max_attempts=3, initial=timedelta(seconds=20), jitter=0.0)

        @processor("errand", key=lambda job: job.on or job.name, priority="normal", limits=limits, retry=retry)
        async def errand(job: Errand, ctx: Context) -> None:
            await self._run(job, ctx)

        @processor("plain", key=lambda job: job.name)
        async def plain(job: Errand, ctx: Context) -> None:
            await self._run(job, ctx)

        self.processors: list[AnyProcessor] = [errand, plain]

    async def _run(self, job: Errand, ctx: Context) -> None:
        self.began[job.name] = ctx.clock.now()
        if job.put_off and job.name not in self._put_off:
            self._put_off.add(job.name)
            raise Snooze(after=timedelta(seconds=job.put_off))
        await ctx.clock.sleep(job.seconds)
        if ctx.job.attempt <= job.fails:
            raise Retry("not yet")
        ctx.append("done", {"name": job.name})

    @property
    def order(self) -> list[str]:
        return sorted(self.began, key=lambda name: self.began[name])
