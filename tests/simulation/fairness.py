"""Looks at each time of a run whether tenants take turns."""

from __future__ import annotations

import random

import anyio

from jobkit.model.job_state import UNFINISHED, JobState
from jobkit.ports.inspection import JobRecord
from jobkit.testing.virtual_time import running_loop
from simulation.events import Unfair
from simulation.work import LOOSE, PLACES
from simulation.world import World


async def look_for_unfairness(world: World) -> None:
    """Look, at one moment each time, how many jobs of each tenant are on their way, and how many wait."""
    rng = random.Random(f"tenants {world.seed}")
    while True:
        await anyio.sleep(rng.uniform(0.1, 1.0))
        jobs = await world.backend.inspection.jobs(type=LOOSE, limit=10_000)
        lines = {_line(job) for job in jobs if job.tenant is not None and job.state in UNFINISHED}
        for line in sorted(lines):
            own = [job for job in jobs if job.state in UNFINISHED and _line(job) == line]
            placed = sum(job.state is not JobState.SCHEDULED for job in own)
            waiting = sum(job.waits_for_place for job in own)
            if placed > PLACES or (waiting and placed < PLACES):
                world.history.add(Unfair(running_loop().time(), line, placed, waiting))


def _line(job: JobRecord) -> str:
    """Return the line of a tenant's job; nothing where it is none's, as a foreign publisher's."""
    return "" if job.tenant is None else f"{job.priority} {job.tenant}"
