"""The campaign's job type; worker processes load it through JOBKIT_PLUGINS.

Each job reads what the jobs of its key before it left, and leaves something that depends on it and on itself: a job
that was left out, came twice or at the wrong time, or wrote over another one's effect, shows in the end.
"""

from __future__ import annotations

import hashlib
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Literal

import anyio
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from pydantic import BaseModel

from jobkit import Concurrency, Context, Payload, Rate, Reject, Retry, processor
from jobkit.model.clock import machine_time
from tests.campaign.broken import (
    ack_before_commit,
    kept_work_is_not_looked_for,
    ticks_are_fired_apart,
    wall_clock_is_wrong_by,
)
from tests.campaign.names import (
    EARLY_ACKS_VARIABLE,
    ERRAND,
    FORGETFUL_VARIABLE,
    METRICS_VARIABLE,
    TALLY,
    TICKS_APART_VARIABLE,
    TYPE,
    WRONG_CLOCK_VARIABLE,
)

# What errands need: over all of them, and over those of each key.
AT_ONCE = Concurrency("errands", 3)
STARTS = Rate("starts", 6, per=timedelta(seconds=1), key=lambda job: job.on)


class Step(Payload):
    """One step of a key. It takes `seconds`, and where `until` names a file, as long as that is not there.

    Then it may fail, for good or to be tried again an hour later.
    """

    on: str
    number: int
    seconds: float = 0.0
    until: Path | None = None
    fails: Literal["", "retry", "reject"] = ""


class Tally(BaseModel):
    """What the jobs of a key have done so far: how many they are, and a digest of which, in their order."""

    count: int = 0
    chain: str = ""

    def after(self, id: str) -> Tally:
        """Return what it is once another job is done."""
        return Tally(count=self.count + 1, chain=hashlib.sha256(f"{self.chain} {id}".encode()).hexdigest())


@processor(TYPE, key=lambda job: job.on, ordered=True)
async def step(job: Step, ctx: Context) -> int:
    """Work a while, then count this job in."""
    tally = await ctx.read(TALLY, Tally) or Tally()
    await anyio.sleep(job.seconds)
    while job.until is not None and not await anyio.Path(job.until).exists():  # noqa: ASYNC110  (another process makes the file)
        await anyio.sleep(0.05)
    if job.fails == "retry":
        raise Retry("planned", after=timedelta(hours=1))
    if job.fails == "reject":
        raise Reject("planned")
    ctx.record(TALLY, tally.after(ctx.job.id))
    ctx.append("step", {"number": job.number})
    return job.number


class Errand(Payload):
    """Something to do that takes `seconds`."""

    on: str
    seconds: float = 0.1


class Done(BaseModel):
    """When an errand was begun and ended: on the clock that all processes of a machine share, and by Unix time."""

    began: float
    ended: float
    began_wall: float


@processor(ERRAND, key=lambda job: job.on, limits=[AT_ONCE, STARTS], priority="normal")
async def errand(job: Errand, ctx: Context) -> None:
    """Take the time that it says, and say when that was."""
    # Of the system itself: the clock that jobkit is given may be wrong.
    began, began_wall = machine_time(), time.time()
    await anyio.sleep(job.seconds)
    ctx.append("errand", Done(began=began, ended=machine_time(), began_wall=began_wall))


def _write_metrics(path: Path) -> None:
    """Have the process write what it counts to a file, as a line of JSON each second."""
    exporter = ConsoleMetricExporter(out=path.open("a"), formatter=lambda data: f"{data.to_json(indent=None)}\n")
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=1000)
    metrics.set_meter_provider(MeterProvider([reader]))


if METRICS_VARIABLE in os.environ:
    _write_metrics(Path(os.environ[METRICS_VARIABLE]))
if EARLY_ACKS_VARIABLE in os.environ:
    ack_before_commit()
if FORGETFUL_VARIABLE in os.environ:
    kept_work_is_not_looked_for()
if TICKS_APART_VARIABLE in os.environ:
    ticks_are_fired_apart(float(os.environ[TICKS_APART_VARIABLE]))
if WRONG_CLOCK_VARIABLE in os.environ:
    wall_clock_is_wrong_by(float(os.environ[WRONG_CLOCK_VARIABLE]))
