"""The jobs of a simulation: what each does, which types they are of, and what is asked of the workers that run them."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel

from jobkit import (
    Concurrency,
    Context,
    Payload,
    Processor,
    Projection,
    Rate,
    Reject,
    Result,
    Retry,
    RetryPolicy,
    processor,
)
from jobkit.model.concurrency import Concurrency as Slots
from jobkit.model.job_group import OnFailure
from jobkit.model.notice import EndState
from jobkit.model.priority import Priority
from jobkit.model.unique import Unique
from jobkit.plugin.log_retention import LogRetention
from jobkit.plugin.notification import Notify
from jobkit.settings import Settings
from jobkit.testing.virtual_time import running_loop
from simulation.events import Step
from simulation.history import History
from simulation.kept_work import STEP_SECONDS, Keeping
from simulation.network import Node

ORDERED, LOOSE = "chapter", "photo"
# The ordered jobs are of two types in one group: all that holds for a key holds over both.
APPENDIX = "appendix"
MAX_ATTEMPTS = 4
# So many loose jobs of each of two tenants are in the queue or run at a time, where they take turns.
PLACES = 2
# What loose jobs need in half of the runs: over all of them, and over those of each key.
PAIR = Concurrency("pair", 2)
BEGINS = Rate("begins", 4, per=timedelta(seconds=8), key=lambda job: job.key)
_RETRY = RetryPolicy(max_attempts=MAX_ATTEMPTS, initial=timedelta(seconds=0.5), maximum=timedelta(seconds=4))

SETTINGS = Settings(
    concurrency=Slots(4),
    partitions=3,
    prefetch=6,
    lease_ttl=6.0,
    lease_guard=1.0,
    claim_wait=10.0,
    delivery_hold=8.0,
    gap_hold=5.0,
    gap_limit=4,
    relay_grace=1.0,
    republish_seconds=8.0,
    drain_seconds=8.0,
)


def settings_of(seed: int) -> Settings:
    """Draw what a run's workers and client are told; the times that bounds are stated in stay as they are."""
    rng = random.Random(f"settings {seed}")
    drawn: dict[str, object] = {
        "concurrency": Slots(rng.choice((1, 2, 4))),
        "partitions": rng.choice((1, 2, 3, 4)),
        "prefetch": rng.choice((1, 3, 10)),
        "gap_hold": rng.choice((1.5, 5.0)),
        "gap_limit": rng.choice((1, 4)),
        "delivery_hold": rng.choice((3.0, 8.0)),
    }
    return SETTINGS.model_copy(update=drawn)


class Work(Payload):
    """A job: it sleeps for each of `steps` seconds, fails `fails` times, and submits `follow` jobs as it commits.

    One that `keeps` what it has done goes on from there.
    As it commits it makes a group of the jobs in `group`, of which some are rejected or make groups themselves.
    """

    key: str
    number: int
    steps: tuple[float, ...] = (0.1,)
    fails: int = 0
    rejected: bool = False
    follow: int = 0
    keeps: bool = False
    group: tuple[Work, ...] = ()
    on_failure: OnFailure = "run"

    @property
    def longest(self) -> float:
        """The most seconds it may take where nothing goes wrong: all attempts, the waits between them, follow-ups."""
        waits = 4.0 * self.fails
        # A job that a person has to look after waits for that.
        return (
            (sum(self.steps) + STEP_SECONDS * self.keeps + 1.0) * (self.fails + 1)
            + waits
            + self.follow
            + sum(member.longest + 4.0 for member in self.group)
            + 20.0 * self.rejected
        )


class Done(Result):
    number: int


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be submitted, and when (seconds from the start).

    `later`: it is to run so many seconds after it is accepted. `foreign`: not through the client, but by a
    publisher that knows nothing of the store. Under its `unique` name it may replace another one. Without a `priority`
    one is drawn, where there are any. Of its ends in `notify` its submitter wants to be told. Where it `expires`,
    it has to begin within so many seconds after it is accepted.
    """

    after: float
    type: str
    id: str
    work: Work
    foreign: bool = False
    later: float = 0.0
    unique: Unique | None = None
    priority: Priority | None = None
    notify: tuple[EndState, ...] = ()
    expires: float = 0.0


def processors(
    node: Node,
    history: History,
    keeping: Keeping,
    *,
    mended: Collection[str],
    limited: bool,
    prioritized: bool,
    tenanted: bool,
    notify: Sequence[Notify],
    projections: Sequence[Projection[Any]],
    kept: Mapping[str, LogRetention],
) -> list[Processor[Any, Any]]:
    """Return the processors as one node runs them; what was wrong with the `mended` jobs is so no more.

    `kept` says how long the logs of each type are, where that is not for ever.
    """

    def note_step(ctx: Context) -> None:
        at, resource = running_loop().time(), f"{ctx.job.type}/{ctx.job.key}"
        resumed = history.resumed(node.name)
        history.add(Step(at, node.name, resource, ctx.job.id, ctx.job.attempt, ctx.fence, resumed=resumed))

    async def work(job: Work, ctx: Context) -> Done:
        note_step(ctx)
        done = await keeping.resume(ctx) if job.keeps else 0
        for number, seconds in list(enumerate(job.steps))[done:]:
            if node.reach("processor.step", "before"):
                await anyio.lowlevel.checkpoint()
            await ctx.clock.sleep(seconds)
            if node.reach("processor.step", "after"):
                await anyio.lowlevel.checkpoint()
            note_step(ctx)
            await ctx.progress((number + 1) / len(job.steps))
            if job.keeps:
                await keeping.reach(ctx, number + 1)
        if job.rejected and ctx.job.id not in mended:
            raise Reject("planned")
        if ctx.job.attempt <= job.fails:
            raise Retry("planned")
        ctx.append("done", {"number": job.number})
        ctx.record("last", job.number)
        for number in range(job.follow):
            # A follow-up goes to an ordered key and to a loose one in turn.
            type = (ORDERED, LOOSE)[number % 2]
            ctx.submit(type, Work(key=f"{job.key}+", number=number), id=f"{ctx.job.id}.{number}")
        if job.group:
            ctx.submit_group(
                [
                    ctx.new_job(LOOSE, member, id=member_id(ctx.job.id, number))
                    for number, member in enumerate(job.group)
                ],
                then=ctx.new_job(closing_type(job), Work(key=job.key, number=0), id=then_id(ctx.job.id)),
                on_failure=job.on_failure,
            )
        return Done(number=job.number)

    groups = {ORDERED: ORDERED, APPENDIX: ORDERED, LOOSE: None}
    return [
        processor(
            type,
            key=lambda job: job.key,
            ordered=group is not None,
            timeout=timedelta(minutes=2),
            retry=_RETRY,
            group=group,
            limits=[PAIR, BEGINS] if type == LOOSE and limited else [],
            priority="normal" if type == LOOSE and prioritized else None,
            tenant=(lambda job: f"t{job.number % 2}") if type == LOOSE and tenanted else None,
            places=PLACES if type == LOOSE and tenanted else None,
            notify=notify,
            projections=projections,
            log_retention=kept.get(group or type),
        )(work)
        for type, group in groups.items()
    ]


def closing_type(work: Work) -> str:
    """Return the type of the job that closes the group of a job."""
    return (ORDERED, LOOSE)[len(work.group) % 2]


def member_id(maker: str, number: int) -> str:
    """Return the id of a member of the group that a job makes."""
    return f"{maker}.m{number}"


def then_id(maker: str) -> str:
    """Return the id of the job that closes the group that a job makes."""
    return f"{maker}.then"
