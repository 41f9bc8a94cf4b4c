"""What the drill's workers do: upload sessions, whose completion asks for a transcode, as in the incident.

The projection believes whatever it is told: it is order and deduplication that keep it right. Each run of a processor
is written to a trace when it begins and ends, whatever becomes of it, so that two at once on one key can be seen.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from jobkit.errors import Retry
from jobkit.lab.drill.late_commit import LateCommit
from jobkit.lab.drill.protections import SHARED_VARIABLE, Protection
from jobkit.plugin.context import Context
from jobkit.plugin.payload import Payload
from jobkit.plugin.processor import Processor, processor
from jobkit.projections.projection import Projection

UPLOAD = "drill.upload"
TRANSCODE = "drill.transcode"
TYPES = (UPLOAD, TRANSCODE)
# A file that each process appends its trace to.
TRACE_VARIABLE = "DRILL_TRACE"

_EVENT_SECONDS = 0.01
_STEP_SECONDS = 0.2


class Event(Payload):
    """Event `number` (from 1) of a session with `chunks` chunks. A flaky one fails at first, as storage may."""

    session: str
    number: int
    kind: Literal["VideoUploadStarted", "VideoChunkReceived", "VideoUploadCompleted"]
    chunks: int
    flaky: bool = False


class DrillSession(BaseModel):
    """What people see of a session. `chunks_at_end` are those that were there when it was shown as finished."""

    started: bool = False
    chunks: int = 0
    finished: bool = False
    chunks_at_end: int = 0


session = Projection("session", DrillSession)


@session.on("VideoUploadStarted")
def started(now: DrillSession, _: Event) -> DrillSession:
    """Show the session."""
    return now.model_copy(update={"started": True})


@session.on("VideoChunkReceived")
def received(now: DrillSession, _: Event) -> DrillSession:
    """Count a chunk."""
    return now.model_copy(update={"chunks": now.chunks + 1})


@session.on("VideoUploadCompleted")
def completed(now: DrillSession, _: Event) -> DrillSession:
    """Show the session as finished."""
    return now.model_copy(update={"finished": True, "chunks_at_end": now.chunks})


@processor(UPLOAD, key=lambda job: job.session, ordered=True, projections=[session])
async def upload(job: Event, ctx: Context) -> None:
    """Apply one event; the last one asks for the transcode."""
    with _traced(ctx):
        await ctx.clock.sleep(_EVENT_SECONDS)
        if job.flaky and ctx.job.attempt == 1:
            raise Retry("the storage of chunks did not answer")
        ctx.append(job.kind, job)
        if job.kind == "VideoUploadCompleted":
            ctx.submit(TRANSCODE, Video(session=job.session), id=f"{job.session}-transcode")


class Video(Payload):
    """The video of a session, and for how long it is worked on."""

    session: str
    seconds: float = 2.0


@processor(TRANSCODE, key=lambda job: job.session)
async def transcode(video: Video, ctx: Context) -> None:
    """Work for a while, then write what was made, and by whom."""
    with _traced(ctx):
        late = LateCommit.of(Path(os.environ[SHARED_VARIABLE]), video.session)
        if late is not None:
            await late.work(ctx.fence.nonce, ctx.clock)
        steps = round(video.seconds / _STEP_SECONDS)
        for step in range(steps):
            await ctx.clock.sleep(_STEP_SECONDS)
            await ctx.progress((step + 1) / steps)
        made = {"by": ctx.fence.owner, "token": ctx.fence.token}
        ctx.append("transcoded", made)
        ctx.record("metadata", made)


def processors(broken: Protection | None) -> list[Processor[Any, Any]]:
    """Return what a drill submits to and works with: without sequences where that is what it is to show."""
    return [replace(upload, ordered=broken is not Protection.SEQUENCE), transcode]


@contextmanager
def _traced(ctx: Context) -> Iterator[None]:
    run = f"{os.getpid()}-{ctx.fence.nonce}-{ctx.job.attempt}"
    _write(ctx, run, "begin")
    try:
        yield
    finally:
        _write(ctx, run, "end")


def _write(ctx: Context, run: str, what: str) -> None:
    line = {
        "at": time.monotonic(),
        "what": what,
        "run": run,
        "pid": os.getpid(),
        "type": ctx.job.type,
        "key": ctx.job.key,
        "job": ctx.job.id,
    }
    # One short line is written whole, and what a killed process wrote stays.
    with Path(os.environ[TRACE_VARIABLE]).open("a") as trace:
        trace.write(json.dumps(line) + "\n")
