"""Jobs that nothing in the store brings to a worker: without a message, they wait until they are published again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobkit.backends.redis.outbox import with_sequence
from jobkit.backends.redis.submit import store_script
from jobkit.model.partition import Partition, partition_of
from jobkit.ports.adrift import Adrift
from jobkit.ports.inspection import JobState

HORIZON = store_script("horizon")
ADRIFT = store_script("adrift", "outbox")
# The states of a job that a message may be all there is of.
STATES = (JobState.QUEUED, JobState.RUNNING)


def jobs(rows: Sequence[Any], state: JobState, partition: Partition, partitions: int) -> list[Adrift]:
    """Return those jobs in the answer of `ADRIFT` that belong to the partition."""
    found = []
    for number, sequence, packed, owner, delayed in rows:
        envelope = with_sequence(packed, sequence)
        if partition_of(envelope.key or "", partitions) == partition.index:
            whose = None if owner is None else owner.decode()
            found.append(Adrift(int(number), envelope, state is JobState.RUNNING, whose, delayed == 1))
    return found
