"""What every stage of a job works with."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio import to_thread

from jobkit import Context
from workers.transcode import disk
from workers.transcode.errors import FfmpegFailed, OutputInvalid, PackagingFailed
from workers.transcode.ffmpeg import Ffmpeg, required_ffmpeg
from workers.transcode.process import Bounds, Limits, Supervisor
from workers.transcode.progress import Step
from workers.transcode.settings import TranscodeSettings


async def open_bench(ctx: Context, settings: TranscodeSettings) -> Bench:
    """Return the tools of an attempt, with a directory of its own. Raises `FfmpegFailed` where there is no ffmpeg."""
    directory = await ctx.workdir() / "transcode"
    await anyio.Path(directory).mkdir()
    # A process cannot use more CPU time than all cores have until its timeout; the limit is for one that nobody
    # watches any more.
    cpu_seconds = math.ceil(settings.timeout) * (os.cpu_count() or 1)
    limits = Limits(settings.memory_mb, cpu_seconds, settings.max_output_mb, settings.nice)
    bounds = Bounds(settings.stall_timeout, settings.timeout, settings.kill_grace)
    supervisor = Supervisor(limits, bounds, ctx.clock, ctx.log)
    return Bench(ctx, settings, supervisor, Ffmpeg(supervisor, required_ffmpeg(settings.ffmpeg), directory), directory)


@dataclass(frozen=True, slots=True)
class Bench:
    """One attempt's tools; `directory` is its own."""

    ctx: Context
    settings: TranscodeSettings
    supervisor: Supervisor
    ffmpeg: Ffmpeg
    directory: Path

    async def report(self, step: Step, fraction: float, detail: str = "") -> None:
        """Tell how far a step is; `detail` are words that follow the step's own."""
        await self.ctx.progress(step.at(fraction), step.message + detail)

    async def require_room(self, needed: int, purpose: str) -> None:
        """Raise `DiskFull` where `needed` bytes do not fit."""
        await to_thread.run_sync(disk.require_room, self.directory, needed, purpose)

    async def explained(self, error: FfmpegFailed | PackagingFailed | OutputInvalid) -> Exception:
        """Return what a failure really is: that of a full disk, where the disk is full."""
        full = await to_thread.run_sync(disk.is_full, self.directory)
        return disk.full(self.directory, error) if full else error
