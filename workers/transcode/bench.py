"""What every stage of a job works with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread

from jobkit import Context
from workers.transcode import disk
from workers.transcode.errors import FfmpegFailed, OutputInvalid, PackagingFailed
from workers.transcode.ffmpeg import Ffmpeg
from workers.transcode.process import Supervisor
from workers.transcode.progress import Step
from workers.transcode.settings import TranscodeSettings


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
