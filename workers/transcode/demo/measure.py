"""What splitting costs and brings on this machine, beside the plain ffmpeg command for the same renditions.

`python -m workers.transcode.demo.measure [--seconds N] [--size WxH] [--preset P] [--kill SHARE ...]`: JSON on stdout.
Each figure is of one run, on embedded backends in a folder that is gone afterwards.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import structlog

from workers.transcode.arguments import encode_arguments
from workers.transcode.demo.processes import Jobkit, WorkerProcess, end_at_once
from workers.transcode.ffmpeg import required_ffmpeg
from workers.transcode.plan import make_plan
from workers.transcode.probe import SOURCE_FORMATS, ProbeTask, probe, usable_source
from workers.transcode.process import Bounds, Clock, Limits, Supervisor, environment
from workers.transcode.sample import make_sample, size_of
from workers.transcode.settings import TranscodeSettings

TYPES = ("transcode", "transcode.chunk")
_POLL_SECONDS = 0.2


class RealClock:
    """The system's clock."""

    def now(self) -> float:
        """Return seconds that only grow."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await anyio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Figure:
    """One run: by how many workers, in seconds by the clock and of the processor, its own processes included."""

    what: str
    workers: int
    wall: float
    processor: float


@dataclass(frozen=True, slots=True)
class Course:
    """What is measured: `seconds` of video at `size`, in chunks of `chunk` seconds, with a lease of `ttl` seconds."""

    seconds: float
    size: tuple[int, int]
    preset: str
    chunk: float
    ttl: float


def processor_seconds() -> float:
    """Return what all processes have used that this one has waited for, and those that they waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measured(what: str, workers: int, run: Callable[[], None]) -> Figure:
    """Run something and return what it took."""
    began, before = time.monotonic(), processor_seconds()
    run()
    return Figure(what, workers, round(time.monotonic() - began, 2), round(processor_seconds() - before, 2))


def plain(folder: Path, course: Course, source: Path) -> None:
    """Encode the renditions as one would by hand: one ffmpeg, and nothing looked at."""
    clock: Clock = RealClock()
    settings = TranscodeSettings(preset=course.preset)
    supervisor = Supervisor(Limits(16_384, 36_000, 65_536, 0), Bounds(60, 36_000, 1), clock, structlog.get_logger())
    task = ProbeTask(f"file:{source}", SOURCE_FORMATS, False, settings.threads)

    async def arguments() -> list[str]:
        (found,) = await probe(supervisor, [task], cwd=folder)
        return encode_arguments(make_plan(usable_source(found, settings), settings), settings, f"file:{source}")

    command = [str(required_ffmpeg(settings.ffmpeg)), *anyio.run(arguments)]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=environment())


@contextmanager
def site(folder: Path, course: Course, source: Path, workers: int) -> Iterator[tuple[Jobkit, list[WorkerProcess]]]:
    """Lend a site of so many workers, on backends of its own."""
    folder.mkdir()
    url = f"sqlite:///{folder}/jobkit.db"
    settings = {
        **{f"JOBKIT_{plane}_URL": url for plane in ("BROKER", "COORDINATOR", "STORE")},
        "JOBKIT_BLOBS_URL": f"file:{folder}/blobs",
        "JOBKIT_LEASE_TTL": f"{course.ttl:g}",
        "JOBKIT_LEASE_GUARD": "0.5",
        "JOBKIT_CONCURRENCY": "1",
        "JOBKIT_PARTITIONS": "4",
        "JOBKIT_TRANSCODE_SOURCE_ROOTS": str(source.parent),
        "JOBKIT_TRANSCODE_PRESET": course.preset,
        "JOBKIT_TRANSCODE_CHUNK_SECONDS": f"{course.chunk:g}",
        "JOBKIT_TRANSCODE_THREADS": "2" if workers == 1 else "1",
        "JOBKIT_TRANSCODE_NICE": "0",
    }
    env_file = folder / "measure.env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    jobkit = Jobkit([env_file])
    started: list[WorkerProcess] = []
    try:
        while len(started) < workers:
            started.append(jobkit.start_worker(f"worker-{len(started) + 1}", folder, folder, TYPES))
        yield jobkit, started
    finally:
        end_at_once([worker.process for worker in started])


def transcoded(jobkit: Jobkit, source: Path, *, split: bool, on_share: Callable[[float], None]) -> None:
    """Have a video transcoded; `on_share` is told how far it is."""
    payload = json.dumps({"video_id": "measured", "source": source.name, "split": split})
    id = json.loads(jobkit.run("submit", "transcode", "--payload", payload, "--json"))["id"]
    while True:
        job = json.loads(jobkit.run("status", id, "--json"))
        if job["state"] in ("committed", "dead", "cancelled"):
            if job["state"] != "committed":
                raise RuntimeError(f"the job is {job['state']}: {job.get('reason')}")
            return
        on_share(job["progress"])
        time.sleep(_POLL_SECONDS)


def run_on(
    folder: Path, course: Course, source: Path, what: str, workers: int, *, split: bool, kill_at: float | None = None
) -> Figure:
    """Measure a transcode on a site of its own; the first worker is killed once it has come as far as `kill_at`."""
    wall = 0.0

    def run() -> None:
        nonlocal wall
        with site(folder, course, source, workers) as (jobkit, started):
            began, killed = time.monotonic(), False

            def on_share(share: float) -> None:
                nonlocal killed
                if kill_at is not None and share >= kill_at and not killed:
                    killed = True
                    started[0].process.send_signal(signal.SIGKILL)

            transcoded(jobkit, source, split=split, on_share=on_share)
            wall = time.monotonic() - began

    found = measured(what, workers, run)
    return Figure(what, workers, round(wall, 2), found.processor)


def main(arguments: Sequence[str]) -> int:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m workers.transcode.demo.measure", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--size", type=size_of, default=(1280, 720))
    parser.add_argument("--preset", default="medium")
    parser.add_argument("--chunk", type=float, default=12.0)
    parser.add_argument("--ttl", type=float, default=5.0)
    parser.add_argument("--only", nargs="*", default=["plain", "whole", "split-1", "split-2", "kill"])
    parser.add_argument("--kill", type=float, nargs="*", default=[0.4])
    chosen = parser.parse_args(arguments)
    course = Course(chosen.seconds, chosen.size, chosen.preset, chosen.chunk, chosen.ttl)
    with TemporaryDirectory(prefix="jobkit-measure-") as name:
        folder = Path(name)
        source = folder / "source.mp4"
        anyio.run(lambda: make_sample(source, seconds=course.seconds, size=course.size))
        for figure in _figures(folder, course, source, chosen.only, chosen.kill):
            print(json.dumps(asdict(figure)), flush=True)
    return 0


def _figures(
    folder: Path, course: Course, source: Path, only: Sequence[str], kills: Sequence[float]
) -> Iterator[Figure]:
    if "plain" in only:
        yield measured("plain", 0, lambda: plain(folder, course, source))
    if "whole" in only:
        yield run_on(folder / "whole", course, source, "whole", 1, split=False)
    for workers in (1, 2, 4):
        if f"split-{workers}" in only:
            yield run_on(folder / f"split-{workers}", course, source, "split", workers, split=True)
    for share in kills if "kill" in only else ():
        what = f"split, a worker killed at {share:.0%}"
        yield run_on(folder / f"kill-{share}", course, source, what, 2, split=True, kill_at=share)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
