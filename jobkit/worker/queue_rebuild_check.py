"""Whether a partition's queue may go: whether each job that may have its message there would be published again."""

from __future__ import annotations

from jobkit.client.layouts import Layouts
from jobkit.model.partition import Partition
from jobkit.ports.inspection import Inspection, JobState
from jobkit.ports.store import Store

# With more than this many jobs to compare, the answer is no: a person may know better.
_MOST_JOBS = 10_000
_PAGE = 500


class Coverage:
    """Compares the jobs of a partition that have not ended with those that the store would publish or adopt again."""

    def __init__(self, store: Store, inspection: Inspection, layouts: Layouts) -> None:
        self._store = store
        self._inspection = inspection
        self._layouts = layouts

    async def complete(self, partition: Partition) -> bool:
        """Return whether the outbox or the in-flight table has every job that waits or runs. Raises `Unavailable`."""
        waiting: set[str] = set()
        for state in (JobState.QUEUED, JobState.RUNNING):
            found = await self._inspection.jobs(type=partition.type, state=state, limit=_MOST_JOBS + 1)
            if len(found) > _MOST_JOBS:
                return False
            waiting |= {job.id for job in found if self._layouts.partition(job.type, job.key) == partition}
        # Read after the jobs: what ended meanwhile is missing here, and the answer is no, not a wrong yes.
        waiting -= {one.envelope.id for one in await self._store.shelved(partition, limit=_MOST_JOBS)}
        after = 0
        while waiting and (page := await self._store.outbox(older_than=-1, limit=_PAGE, after=after)):
            waiting -= {entry.envelope.id for entry in page}
            after = page[-1].position
        return not waiting
