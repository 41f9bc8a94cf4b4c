"""The demo's jobs as the command line shows them, and the verdict on them. Nothing here runs anything."""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.table import Table
from rich.text import Text

from workers.transcode.demo.clips import CHUNKS, CLIPS, LONG

VIDEO, CHUNK = "transcode", "transcode.chunk"
# A worker is interfered with while its chunk has come less far than this: it may end too soon.
STRIKE_BELOW = 0.8
# And not before so many chunks are done, so that it is seen how workers share them.
STRIKE_AFTER_CHUNKS = 2
# Of so many ids the best is taken.
_TRIED_IDS = 500


@dataclass(frozen=True, slots=True)
class JobView:
    """One job as `jobkit jobs --json` shows it."""

    id: str
    type: str
    key: str
    state: str
    progress: float
    owner: str | None
    token: int | None
    starts: int
    failures: int
    group: str | None = None

    @property
    def ended(self) -> bool:
        """Return whether nothing more happens to it by itself."""
        return self.state in ("committed", "dead", "cancelled", "parked")

    @property
    def name(self) -> str:
        """What people are shown: the video, or the chunk of it."""
        return f"{LONG.name}/{self.part}" if self.type == CHUNK else self.key

    @property
    def part(self) -> str:
        """Which part of the video a chunk is: a number, or its sound."""
        return self.key.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Strike:
    """What befell a worker: how, and which chunk it was at, as that was then."""

    how: Literal["killed", "paused"]
    worker: str
    job: JobView

    @property
    def resource(self) -> str:
        """What its lease was on."""
        return f"{self.job.type}/{self.job.key}"


# In this order.
STRIKES: tuple[Literal["killed", "paused"], ...] = ("killed", "paused")


def job_views(document: str) -> list[JobView]:
    """Return the jobs in the output of `jobkit jobs --json`: videos in the order of `CLIPS`, then chunks in theirs."""
    views = [
        JobView(
            id=job["id"],
            type=job["type"],
            key=job["key"],
            state=job["state"],
            progress=job["progress"],
            owner=job["owner"],
            token=job["token"],
            starts=job["opens"],
            failures=len(job["failures"]),
            group=job["group"],
        )
        for job in json.loads(document)
    ]
    return sorted(views, key=_place)


def _place(job: JobView) -> tuple[int, int]:
    names = [clip.name for clip in CLIPS]
    if job.type == CHUNK:
        return len(names), int(job.part) if job.part.isdigit() else sys.maxsize
    return names.index(job.key) if job.key in names else len(names), 0


def spread_id(partitions: int, new_id: Callable[[], str]) -> str:
    """Return an id for the long video under which its chunks lie in as many partitions as can be.

    So every worker gets some, as it does by itself where there are many.
    """

    def spread(id: str) -> int:
        return len({zlib.crc32(f"{id}/{number}".encode()) % partitions for number in range(CHUNKS)})

    return max((new_id() for _ in range(_TRIED_IDS)), key=spread)


def pid_of(owner: str | None) -> int | None:
    """Return the process id in an owner, `host:pid:random`; None for nobody."""
    return int(owner.rsplit(":", 2)[1]) if owner else None


def next_victim(jobs: Sequence[JobView], strikes: Collection[Strike]) -> JobView | None:
    """Return a chunk that a worker which is still well is in the middle of, once it is time for that; else None."""
    chunks = [job for job in jobs if job.type == CHUNK]
    if sum(job.state == "committed" for job in chunks) < STRIKE_AFTER_CHUNKS:
        return None
    struck = {strike.job.owner for strike in strikes}
    at_work = (job for job in chunks if job.state == "running" and job.progress < STRIKE_BELOW)
    return next((job for job in at_work if job.owner not in struck), None)


def was_taken_over(strike: Strike, job: JobView) -> bool:
    """Return whether the chunk of a worker that was struck has another holder by now, or had one."""
    return job.token is not None and strike.job.token is not None and job.token > strike.job.token


def problems_of(jobs: Sequence[JobView], submitted: Sequence[str], strikes: Sequence[Strike]) -> list[str]:
    """Return what is wrong with the jobs at the end, a sentence each."""
    found = []
    videos = [job for job in jobs if job.type == VIDEO]
    if sorted(job.id for job in videos) != sorted(submitted):
        found.append(f"{len(submitted)} jobs were submitted, but {len(videos)} are known")
    chunks = sum(job.type == CHUNK and job.part.isdigit() for job in jobs)
    if chunks != CHUNKS:
        found.append(f"{LONG.name} was to be split into {CHUNKS} chunks, not {chunks}")
    found += [f"job {job.name} is {job.state}, not committed" for job in jobs if job.state != "committed"]
    found += [f"job {job.name} failed {job.failures} times" for job in jobs if job.failures]
    for how in STRIKES[len(strikes) :]:
        found.append(f"no worker was {how}, because none was seen in the middle of a chunk")
    for strike in strikes:
        found += _problems_after(strike, next((job for job in jobs if job.id == strike.job.id), None))
    return found


def _problems_after(strike: Strike, after: JobView | None) -> list[str]:
    name, before = strike.job.name, strike.job
    if after is None or after.owner == before.owner:
        return [f"job {name} was not taken over from {strike.worker}, which was {strike.how}"]
    if not was_taken_over(strike, after):
        return [f"job {name} was taken over under token {after.token}, not above {before.token}"]
    if after.starts < 2:
        return [f"job {name} was taken over, but started {after.starts} time"]
    return []


def gave_up(strike: Strike, log: str) -> bool:
    """Return whether a worker's log tells that it noticed what it had lost meanwhile."""
    return any("lease lost" in line and strike.resource in line for line in log.splitlines())


def table_of(jobs: Sequence[JobView], names: dict[int, str], strikes: Sequence[Strike]) -> Table:
    """Return the jobs as a table; `names` are the workers' names by process id."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for heading in ("VIDEO", "STATE", "DONE", "WORKER", "TOKEN", "STARTS"):
        table.add_column(heading, justify="right" if heading in ("DONE", "TOKEN", "STARTS") else "left", no_wrap=True)
    table.add_column("", no_wrap=True)
    for job in jobs:
        done = 1.0 if job.state == "committed" else job.progress
        worker = names.get(pid_of(job.owner) or 0, "-")
        token = "-" if job.token is None else str(job.token)
        note = "\n".join(_note(strike, job) for strike in strikes if strike.job.id == job.id)
        style = {"committed": "green", "running": "yellow", "dead": "red", "parked": "red"}.get(job.state, "")
        table.add_row(job.name, Text(job.state, style), f"{done:.0%}", worker, token, str(job.starts), note)
    return table


def _note(strike: Strike, job: JobView) -> str:
    lost = f"{strike.worker} was {strike.how} at {strike.job.progress:.0%}, token {strike.job.token}"
    return f"taken over: {lost}" if was_taken_over(strike, job) else lost
