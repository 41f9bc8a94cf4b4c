"""How far a job is that waits for its own group: as far as its members are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from jobkit.model.job_state import JobState
from jobkit.ports.inspection import JobRecord
from jobkit.ports.store import Store


async def with_members(store: Store, record: JobRecord) -> JobRecord:
    """Return the record, which tells of the members where its job waits for them. Raises `Unavailable`.

    What such a job said last is how far it is once all of them have ended.
    """
    if record.state is not JobState.SCHEDULED or record.due_at is not None:
        return record
    group = await store.group(record.id)
    if group is None or group.parent != record.id:
        return record
    ended = f"{group.members - group.unended:,} of {group.members:,}"
    message = f"{record.message}: {ended}" if record.message else ended
    return replace(record, progress=record.progress * group.progress, message=message)


async def all_with_members(store: Store, records: Mapping[str, JobRecord]) -> dict[str, JobRecord]:
    """Return records by id, each as by `with_members`."""
    return {id: await with_members(store, record) for id, record in records.items()}
