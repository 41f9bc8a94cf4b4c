"""The campaign's job type; worker processes load it through JOBKIT_PLUGINS.

Each job reads what the jobs of its key before it left, and leaves something that depends on it and on itself: a job
that was left out, came twice or at the wrong time, or wrote over another one's effect, shows in the end.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import anyio
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from pydantic import BaseModel

from jobkit import Context, Payload, processor
from tests.campaign.broken import ack_before_commit
from tests.campaign.names import EARLY_ACKS_VARIABLE, METRICS_VARIABLE, TALLY


class Step(Payload):
    """One step of a key. It takes `seconds`, and where `until` names a file, as long as that is not there."""

    on: str
    number: int
    seconds: float = 0.0
    until: Path | None = None


class Tally(BaseModel):
    """What the jobs of a key have done so far: how many they are, and a digest of which, in their order."""

    count: int = 0
    chain: str = ""

    def after(self, id: str) -> Tally:
        """Return what it is once another job is done."""
        return Tally(count=self.count + 1, chain=hashlib.sha256(f"{self.chain} {id}".encode()).hexdigest())


@processor("campaign.step", key=lambda job: job.on, ordered=True)
async def step(job: Step, ctx: Context) -> int:
    """Work a while, then count this job in."""
    tally = await ctx.read(TALLY, Tally) or Tally()
    await anyio.sleep(job.seconds)
    while job.until is not None and not await anyio.Path(job.until).exists():  # noqa: ASYNC110  (another process makes the file)
        await anyio.sleep(0.05)
    ctx.record(TALLY, tally.after(ctx.job.id))
    ctx.append("step", {"number": job.number})
    return job.number


def _write_metrics(path: Path) -> None:
    """Have the process write what it counts to a file, as a line of JSON each second."""
    exporter = ConsoleMetricExporter(out=path.open("a"), formatter=lambda data: f"{data.to_json(indent=None)}\n")
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=1000)
    metrics.set_meter_provider(MeterProvider([reader]))


if METRICS_VARIABLE in os.environ:
    _write_metrics(Path(os.environ[METRICS_VARIABLE]))
if EARLY_ACKS_VARIABLE in os.environ:
    ack_before_commit()
