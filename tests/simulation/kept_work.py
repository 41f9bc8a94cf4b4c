"""Jobs of the simulation that keep their work as they go, and what must hold of what is kept."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jobkit import Context, Result
from jobkit.model.fence import Fence
from jobkit.ports.checkpoints import CHECKPOINT
from jobkit.testing.virtual_time import running_loop
from simulation.events import Cancelled, Event, Mark, RanStep, Recalled, Saved, Write
from simulation.history import History

STEP = "prepare"
STEP_SECONDS = 0.3


class Reached(Result):
    """How far a job has come; `made` is another number each time."""

    number: int
    made: int


class Keeping:
    """What the processors do with what is kept, and note of it."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._numbers = itertools.count(1)

    async def resume(self, ctx: Context) -> int:
        """Return how far the job has come, with its step done."""
        found = await ctx.resume(Reached)
        self._note(ctx, CHECKPOINT, None if found is None else found.model_dump_json().encode())
        made = await ctx.step(STEP, self._prepare, ctx)
        self._note(ctx, STEP, json.dumps(made).encode())
        return 0 if found is None else found.number

    async def reach(self, ctx: Context, number: int) -> None:
        """Keep how far the job has come."""
        await ctx.checkpoint(Reached(number=number, made=next(self._numbers)))

    async def _prepare(self, ctx: Context) -> int:
        self._history.add(RanStep(running_loop().time(), ctx.job.id, STEP, ctx.fence))
        await ctx.clock.sleep(STEP_SECONDS)
        return next(self._numbers)

    def _note(self, ctx: Context, step: str, value: bytes | None) -> None:
        self._history.add(Recalled(running_loop().time(), ctx.job.id, step, value, ctx.fence))


@dataclass(slots=True)
class _Kept:
    """What is kept of one job, and what was at each moment since it was opened last under each fence."""

    latest: dict[str, tuple[int, bytes]]
    since: dict[Fence, dict[str, list[bytes | None]]]
    done_before: dict[Fence, frozenset[str]]

    def opened(self, fence: Fence) -> None:
        self.since[fence] = {step: [self.value(step)] for step in (CHECKPOINT, STEP)}
        self.done_before[fence] = frozenset(self.latest)

    def value(self, step: str) -> bytes | None:
        return self.latest[step][1] if step in self.latest else None

    def changed(self, step: str) -> None:
        for seen in self.since.values():
            seen[step].append(self.value(step))


def what_is_kept(events: Sequence[Event]) -> Iterator[tuple[str, float]]:
    """Yield what is wrong, and when.

    What an attempt finds was what was kept last, at some moment since its job was opened; nothing older overwrites
    anything, a step that was done before is not run again, and each attempt goes on from the same result of it.
    """
    jobs: dict[str, _Kept] = defaultdict(lambda: _Kept({}, {}, {}))
    for event in events:
        match event:
            case Mark(_, _, fence, str() as job):
                jobs[job].opened(fence)
            case Saved(at, job, step, version, value, fence):
                kept = jobs[job]
                earlier = kept.latest.get(step)
                if earlier is not None and version <= earlier[0]:
                    yield f"version {version} of {step!r} of {job} was kept in the place of {earlier[0]}", at
                kept.latest[step] = (version, value)
                kept.changed(step)
            case Write(_, "commit", _, job) | Cancelled(_, job):
                kept = jobs[job]
                kept.latest.clear()
                for step in (CHECKPOINT, STEP):
                    kept.changed(step)
            case RanStep(at, job, step, fence):
                if step in jobs[job].done_before.get(fence, ()):
                    yield f"step {step!r} of {job} was run again under {fence}", at
            case Recalled(at, job, step, value, fence):
                possible = jobs[job].since.get(fence, {}).get(step, [])
                if value not in possible:
                    yield f"{job} found {value!r} of {step!r} under {fence}, while it was one of {possible}", at
