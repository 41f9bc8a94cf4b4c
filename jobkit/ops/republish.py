"""Publishing jobs again because somebody says so. Whoever leads their partitions does so by itself a little later.

It puts them into the outbox, from which workers publish them within seconds. Those that were not lost after all come
twice, and are done once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobkit.model.partition import Partition
from jobkit.ports.inspection import Inspection, JobState
from jobkit.ports.planes import StorePlane

_PAGE = 500
# So many ids are told where all jobs of a type are published.
NAMED = 20


@dataclass(frozen=True, slots=True)
class Left:
    """A job that was not published again, and why."""

    id: str
    why: str


@dataclass(frozen=True, slots=True)
class Republished:
    """How many jobs are in the outbox again, the ids of these (of many, the first), and what was left alone."""

    jobs: int
    ids: Sequence[str]
    left: Sequence[Left] = ()


async def republish_jobs(inspection: Inspection, ids: Sequence[str]) -> Republished:
    """Publish the jobs of these ids again, and tell of each other one why not. Raises `Unavailable`."""
    wanted = list(dict.fromkeys(ids))
    done: list[str] = []
    for start in range(0, len(wanted), _PAGE):
        done += await inspection.republish(wanted[start : start + _PAGE])
    rest = [id for id in wanted if id not in set(done)]
    return Republished(len(done), done, [Left(id, await _why_not(inspection, id)) for id in rest])


async def republish_type(plane: StorePlane, type: str) -> Republished:
    """Publish all jobs of a type again that wait for a message, or are at work. Raises `Unavailable`."""
    upto = await plane.store.horizon()
    jobs = 0
    named: list[str] = []
    after: int | None = 0
    while after is not None:
        # All of them: it is for the workers to know which partition each belongs to.
        page, after = await plane.store.adrift(Partition(type, 0), 1, after=after, upto=upto, limit=_PAGE)
        done = await plane.inspection.republish([job.envelope.id for job in page])
        jobs += len(done)
        named += done[: NAMED - len(named)]
    return Republished(jobs, named)


async def _why_not(inspection: Inspection, id: str) -> str:
    job = await inspection.job(id)
    if job is None:
        return "unknown"
    if job.state.ended:
        return job.state.value
    return "parked" if job.state is JobState.PARKED else "on its way"
