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
        # Where there is but one, its picture is the poster.
        kept = POSTER if len(plan.rungs) == 1 else None
        best = await to_thread.run_sync(_take_largest, bench.directory, list(candidates), kept)
        if best is not None and kept is not None:
            return
        times = (candidates[best],) if best is not None else ()
    # A rendition's last picture may be shown a little earlier than the source's.
    for at in (*times, 0.0):
        await bench.ffmpeg.run(poster_arguments(plan.rungs[0], {POSTER: at}))
        if await to_thread.run_sync((bench.directory / POSTER).exists):
            return
    raise OutputUnfit(f"outputs are not as planned: {POSTER}: there is no picture at {times} s; {WHAT_TO_DO}")


def _take_largest(directory: Path, names: list[str], kept: str | None) -> str | None:
    """Return the picture that needs most bytes at one quality, as it shows most; it alone stays, as `kept` if given."""
    sizes = {name: (directory / name).stat().st_size for name in names if (directory / name).exists()}
    best = max(sizes, key=lambda name: sizes[name], default=None)
    for name in sizes:
        if name == best and kept is not None:
            (directory / name).rename(directory / kept)
        else:
            (directory / name).unlink()
    return best
