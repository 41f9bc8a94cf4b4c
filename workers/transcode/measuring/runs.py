"""The runs: the plain ffmpeg command, a job in one piece, one in chunks, and one of whose workers one is killed."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import anyio
import structlog

from workers.transcode.arguments import encode_arguments
from workers.transcode.ffmpeg import required_ffmpeg
from workers.transcode.measuring.course import Course, Figure
from workers.transcode.measuring.site import NotMade, site, transcoded
from workers.transcode.plan import make_plan
from workers.transcode.probe import SOURCE_FORMATS, ProbeTask, probe, usable_source
from workers.transcode.process import Bounds, Limits, Supervisor, environment
from workers.transcode.settings import TranscodeSettings

PLAIN, WHOLE, SPLIT = "plain ffmpeg", "one piece", "chunks"


class _SystemClock:
    """The system's clock."""

    def now(self) -> float:
        """Return seconds that only grow."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await anyio.sleep(seconds)


def runs(course: Course, workers: Sequence[int], kills: Sequence[float]) -> dict[str, Callable[[Path, Path], Figure]]:
    """Return what is to be measured, by name; each takes a folder of its own and the source."""
    found: dict[str, Callable[[Path, Path], Figure]] = {"plain": partial(_plain, course)}
    found["whole"] = partial(_on_site, course, WHOLE, 1, False, None)
    for count in workers:
        found[f"split-{count}"] = partial(_on_site, course, SPLIT, count, True, None)
    for share in kills:
        what = killed(share)
        found[f"kill-{share:g}"] = partial(_on_site, course, what, max(workers), True, share)
    return found


def killed(share: float) -> str:
    """Return what a run is called of whose workers one is killed, and replaced, at a share of the whole."""
    return f"chunks, a worker killed at {share:.0%}"


def _plain(course: Course, folder: Path, source: Path) -> Figure:
    """Encode the renditions as one would by hand: one ffmpeg, and nothing looked at."""
    folder.mkdir()
    settings = TranscodeSettings(preset=course.preset, ladder=course.ladder)
    supervisor = Supervisor(
        Limits(16_384, 36_000, 65_536, 0), Bounds(60, 36_000, 1), _SystemClock(), structlog.get_logger()
    )
    task = ProbeTask(f"file:{source}", SOURCE_FORMATS, False, settings.threads)

    async def arguments() -> list[str]:
        (found,) = await probe(supervisor, [task], cwd=folder)
        return encode_arguments(make_plan(usable_source(found, settings), settings), settings, f"file:{source}")

    command = [str(required_ffmpeg(settings.ffmpeg)), *anyio.run(arguments)]
    began, before = time.monotonic(), _processor_seconds()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=environment())
    return Figure(PLAIN, 0, time.monotonic() - began, _processor_seconds() - before)


def _on_site(
    course: Course, what: str, workers: int, split: bool, kill_at: float | None, folder: Path, source: Path
) -> Figure:
    """Measure a transcode on a site of its own; a worker is killed once it has come as far as `kill_at`.

    Raises `NotMade` where the job did not commit, or nobody could be killed.
    """
    before = _processor_seconds()
    with site(folder, course, source, workers) as lent:
        waiting = [] if kill_at is None else [kill_at]

        def on_look(share: float, at_work: list[int]) -> None:
            lent.look()
            if waiting and share >= waiting[0] and at_work:
                waiting.pop()
                lent.kill(at_work[0])

        wall, joining = anyio.run(partial(transcoded, source, split=split, on_look=on_look))
        memory = lent.memory
    if waiting:
        raise NotMade(
            f"no worker was at work at {waiting[0]:.0%} of the encoding: kill one earlier, or in a longer video"
        )
    processor = _processor_seconds() - before if kill_at is None else None
    return Figure(what, workers, wall, processor, memory, joining)


def _processor_seconds() -> float:
    """Return what all processes have used that this one has waited for, and those that they waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
