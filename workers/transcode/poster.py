"""Chooses and takes the poster: videos begin black, and a black picture says nothing about one."""

from __future__ import annotations

from pathlib import Path

from anyio import to_thread

from workers.transcode.arguments import poster_arguments
from workers.transcode.errors import OutputUnfit
from workers.transcode.job_tools import Bench
from workers.transcode.output_problems import WHAT_TO_DO
from workers.transcode.plan import POSTER, TranscodePlan


async def take_poster(bench: Bench, plan: TranscodePlan) -> None:
    """Write the poster, at the size of the largest rendition. Raises `OutputUnfit` where there is no picture."""
    times = plan.poster_times
    if len(times) > 1:
        # The smallest rendition is enough to see where there is most to be seen.
        candidates = {f"poster-{number}.jpg": at for number, at in enumerate(times)}
        await bench.ffmpeg.run(poster_arguments(plan.rungs[-1], candidates))
        best = await to_thread.run_sync(_take_largest, bench.directory, list(candidates))
        times = (candidates[best],) if best is not None else ()
    # A rendition's last picture may be shown a little earlier than the source's.
    for at in (*times, 0.0):
        await bench.ffmpeg.run(poster_arguments(plan.rungs[0], {POSTER: at}))
        if await to_thread.run_sync((bench.directory / POSTER).exists):
            return
    raise OutputUnfit(f"outputs are not as planned: {POSTER}: there is no picture at {times} s; {WHAT_TO_DO}")


def _take_largest(directory: Path, names: list[str]) -> str | None:
    """Return the picture that needs most bytes at one quality, as it shows most; remove them all."""
    sizes = {name: (directory / name).stat().st_size for name in names if (directory / name).exists()}
    for name in sizes:
        (directory / name).unlink()
    return max(sizes, key=lambda name: sizes[name], default=None)
