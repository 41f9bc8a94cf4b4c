"""Jobs with unique names, and what a store says of them, as the suites need them by the dozen."""

from __future__ import annotations

from jobkit.model.envelope import Envelope
from jobkit.model.unique import Unique, While
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Accepted, Duplicate, Kept, NewJob, SubmitAnswer
from jobkit.testing.conformance.harness import FullStore
from jobkit.testing.conformance.values import envelope, fence

LONG = 3_600.0
NAME = "report:acme"


def named(
    id: str,
    name: str = NAME,
    *,
    while_: While = "queued",
    replace: bool = False,
    key: str | None = "k",
    type: str = "t",
    body: bytes = b"{}",
    ordered: bool = False,
    after: float | None = None,
    expires_after: float | None = None,
) -> NewJob:
    job = envelope(id, type=type, key=key, body=body)
    return NewJob(job, ordered, after=after, expires_after=expires_after, unique=Unique(name, while_, replace))


async def asked(store: FullStore, job: NewJob) -> SubmitAnswer:
    (answer,) = await store.submit([job])
    return answer


async def accepted(store: FullStore, job: NewJob) -> Envelope:
    answer = await asked(store, job)
    assert isinstance(answer, Accepted), answer
    assert answer.replaced is None
    return answer.envelope


async def keeps(store: FullStore, id: str, job: NewJob) -> None:
    """Have the store refuse `job` because of the one called `id`, and write nothing."""
    before = await store.counts()
    answer = await asked(store, job)
    assert isinstance(answer, Kept), answer
    assert answer.id == id
    assert await store.job(job.envelope.id) is None
    assert await store.counts() == before


async def replaces(store: FullStore, id: str, job: NewJob) -> Accepted:
    answer = await asked(store, job)
    assert isinstance(answer, Accepted), answer
    assert answer.replaced == id
    record = await store.job(id)
    assert record
    assert (record.state, record.ended_by) == (JobState.CANCELLED, "jobkit")
    assert record.reason == f"replaced by {job.envelope.id}"
    return answer


async def ended_as(store: FullStore, job: Envelope) -> str:
    """Open a job that has ended, and return how it did."""
    answer = await store.open(job, fence())
    assert isinstance(answer, Duplicate), answer
    return answer.receipt.kind
