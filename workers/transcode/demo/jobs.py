"""The demo's jobs as the command line shows them, and the verdict on them. Nothing here runs anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from workers.transcode.demo.clips import CLIPS, LONG

# The long job's worker is killed when the job has come this far; beyond the second share it may end too soon.
KILL_BETWEEN = (0.05, 0.8)


@dataclass(frozen=True, slots=True)
class JobView:
    """One job as `jobkit jobs --json` shows it."""

    id: str
    key: str
    state: str
    progress: float
    owner: str | None
    token: int | None
    starts: int
    failures: int

    @property
    def ended(self) -> bool:
        """Return whether nothing more happens to it by itself."""
        return self.state in ("committed", "dead", "cancelled", "parked")


@dataclass(frozen=True, slots=True)
class Kill:
    """What was killed: the worker's name and owner, and the job it ran, as it was then."""

    worker: str
    job: JobView


def job_views(document: str) -> list[JobView]:
    """Return the jobs in the output of `jobkit jobs --json`, in the order of `CLIPS`."""
    views = [
        JobView(
            id=job["id"],
            key=job["key"],
            state=job["state"],
            progress=job["progress"],
            owner=job["owner"],
            token=job["token"],
            starts=job["opens"],
            failures=len(job["failures"]),
        )
        for job in json.loads(document)
    ]
    order = [clip.name for clip in CLIPS]
    return sorted(views, key=lambda job: order.index(job.key) if job.key in order else len(order))


def pid_of(owner: str | None) -> int | None:
    """Return the process id in an owner, `host:pid:random`; None for nobody."""
    return int(owner.rsplit(":", 2)[1]) if owner else None


def is_victim(job: JobView) -> bool:
    """Return whether this is the long job, far enough to lose something and not too far to be caught."""
    least, most = KILL_BETWEEN
    return job.key == LONG.name and job.state == "running" and least <= job.progress < most


def problems_of(jobs: Sequence[JobView], submitted: Sequence[str], kill: Kill | None) -> list[str]:
    """Return what is wrong with the jobs at the end, a sentence each."""
    found = []
    if sorted(job.id for job in jobs) != sorted(submitted):
        found.append(f"{len(submitted)} jobs were submitted, but {len(jobs)} are known")
    found += [f"job {job.key} is {job.state}, not committed" for job in jobs if job.state != "committed"]
    found += [f"job {job.key} failed {job.failures} times" for job in jobs if job.failures]
    if kill is None:
        return [*found, f"no worker was killed, because {LONG.name} was never seen {KILL_BETWEEN[0]:.0%} done"]
    after = next((job for job in jobs if job.id == kill.job.id), None)
    if after is None or after.owner == kill.job.owner:
        found.append(f"job {kill.job.key} was not taken over from {kill.worker}, which was killed")
    elif after.token is None or kill.job.token is None or after.token <= kill.job.token:
        found.append(f"job {kill.job.key} was taken over under token {after.token}, not above {kill.job.token}")
    elif after.starts < 2:
        found.append(f"job {kill.job.key} was taken over, but started {after.starts} time")
    return found


def table_of(jobs: Sequence[JobView], names: dict[int, str], kill: Kill | None) -> Table:
    """Return the jobs as a table; `names` are the workers' names by process id."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for heading in ("VIDEO", "STATE", "DONE", "WORKER", "TOKEN", "STARTS"):
        table.add_column(heading, justify="right" if heading in ("DONE", "TOKEN", "STARTS") else "left", no_wrap=True)
    table.add_column("", no_wrap=True)
    for job in jobs:
        done = 1.0 if job.state == "committed" else job.progress
        worker = names.get(pid_of(job.owner) or 0, "-")
        token = "-" if job.token is None else str(job.token)
        note = ""
        if kill is not None and kill.job.id == job.id:
            lost = f"{kill.worker} was killed at {kill.job.progress:.0%}, token {kill.job.token}"
            note = f"taken over: {lost}" if job.owner != kill.job.owner else lost
        style = {"committed": "green", "running": "yellow", "dead": "red", "parked": "red"}.get(job.state, "")
        table.add_row(job.key, Text(job.state, style), f"{done:.0%}", worker, token, str(job.starts), note)
    return table
