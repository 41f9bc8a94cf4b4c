"""Looking for jobs: what matches, and that no page looks at more than it may."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobkit.model.job_filter import CLOCKS_APART, JobFilter
from jobkit.model.tags import tagged
from jobkit.ports.inspection import JobState
from jobkit.ports.store import NewJob, Opened
from jobkit.testing.conformance.harness import FullStore
from jobkit.testing.conformance.values import buried, committed, envelope, failure, fence, opened, unordered


async def found(store: FullStore, limit: int = 50, look_at: int = 5_000, **wanted: object) -> str:
    """Return the ids on all pages, a bar between them."""
    pages, below = [], None
    while True:
        page = await store.find(JobFilter(**wanted), below=below, limit=limit, look_at=look_at)  # type: ignore[arg-type]
        assert len(page.jobs) <= limit
        pages.append("".join(job.id for job in page.jobs))
        below = page.below
        if below is None:
            return "|".join(pages).rstrip("|")


async def test_jobs_are_found_by_all_that_is_asked_for(store: FullStore) -> None:
    for id, key, type in (("a", "k", "t"), ("b", "l", "t"), ("c", "k", "u"), ("d", "k", "t"), ("e", "m", "t")):
        await unordered(store, id, key=key, type=type)
    await committed(store, envelope("a"), under=fence(owner="host:1:x"))
    await opened(store, envelope("d"), fence(owner="other:1:x"))
    await buried(store, envelope("c", type="u"))
    await store.cancel(["e"], by="ann", reason="Not Wanted")
    assert await found(store) == "edcba"
    assert await found(store, type="t") == "edba"
    assert await found(store, key="k") == "dca"
    assert await found(store, type="t", key="k") == "da"
    assert await found(store, type="nosuch") == ""
    expected = {
        "committed": "a",
        "running": "d",
        "dead": "c",
        "queued": "b",
        "cancelled": "e",
        "parked": "",
        "expired": "",
    }
    for state, ids in expected.items():
        assert await found(store, state=JobState(state)) == ids
        assert await found(store, state=JobState(state), type="u") == ("c" if ids == "c" else "")
        assert await found(store, state=JobState(state), key="k") == (ids if ids in ("a", "d", "c") else "")
    assert await found(store, worker="host:1:x") == "a"
    assert await found(store, worker="other") == "d"
    assert await found(store, worker="%") == ""
    assert await found(store, error="not wanted") == "e"
    assert (await store.find(JobFilter(type="t", key="k"))).jobs[0] == await store.job("d")


async def test_pages_follow_each_other_and_each_looks_at_so_many(store: FullStore) -> None:
    for id in "abcdefg":
        await unordered(store, id, key=id, type="u" if id == "b" else "t")
    assert await found(store, limit=3) == "gfe|dcb|a"
    assert await found(store, type="t", limit=2) == "gf|ed|ca"
    assert await found(store, look_at=3) == "gfe|dcb|a"
    assert await found(store, type="u", look_at=3) == "|b"
    assert await found(store, key="a", look_at=2) == "|||a"
    assert await found(store, state=JobState.COMMITTED, look_at=3) == ""


async def test_jobs_in_a_state_are_found_without_looking_at_others(store: FullStore) -> None:
    for id in "abcdefgh":
        await unordered(store, id, key=id, type="u" if id == "b" else "t")
    await buried(store, envelope("a", key="a"))
    await store.cancel(["c"], by="ann", reason="")
    await opened(store, envelope("b", key="b", type="u"))
    assert await found(store, state=JobState.DEAD, look_at=1) == "a"
    assert await found(store, state=JobState.CANCELLED, look_at=1) == "c"
    # Of the types of jobs that have yet to end each is looked through by itself.
    assert (await found(store, state=JobState.RUNNING, type="u", look_at=1)).strip("|") == "b"
    assert (await found(store, state=JobState.QUEUED, look_at=2)).replace("|", "") == "hgfed"


@pytest.mark.parametrize("part", ["no ROOM", 'says "no"', "disk 7", "[x]%_", "\u00e4"])
async def test_jobs_are_found_by_a_part_of_an_error(store: FullStore, part: str) -> None:
    said = {"a": 'No room on disk 7: says "no"', "b": "gone wild [x]%_ \u00e4"}
    for id in "abc":
        await unordered(store, id, key=id)
    for id, error in said.items():
        job = envelope(id, key=id)
        under = await opened(store, job, fence(nonce=id))
        await store.fail(job, under, replace(failure(1), error=error))
        await store.fail(job, under, replace(failure(2), error="something else"))
    assert await found(store, error=part) == "".join(id for id, text in said.items() if part.lower() in text.lower())
    # What a failure is told besides is no error.
    assert await found(store, error="traceback") == ""


async def test_jobs_are_found_by_when_they_were_submitted(store: FullStore) -> None:
    far = 2 * CLOCKS_APART
    jobs = [replace(envelope(id, key=id), submitted_at=1_000.0 + far * place) for place, id in enumerate("abcdefgh")]
    for job in jobs:
        await store.submit([NewJob(job, ordered=False)])
    assert await found(store, since=1_000.0 + 6 * far) == "hg"
    assert await found(store, until=1_000.0 + far) == "ba"
    assert await found(store, until=1_000.0 + 20 * far) == "hgfedcba"
    assert await found(store, until=1_000.0 - far) == ""
    assert await found(store, since=1_000.0 + 2 * far, until=1_000.0 + 4 * far) == "edc"
    # Neither the jobs after that time are looked at, nor those before.
    page = await store.find(JobFilter(since=1_000.0 + 2 * far, until=1_000.0 + 4 * far), look_at=5)
    assert ["".join(job.id for job in page.jobs), page.below] == ["edc", None]


async def test_jobs_are_found_by_a_tag_beside_one_whose_trace_holds_what_text_columns_cannot(store: FullStore) -> None:
    for id, trace in (("a", {"baggage": "x\0\ud800", "\0": "y"}), ("b", {})):
        job = replace(envelope(id, key=id), trace=tagged(trace, ["nightly"]))
        assert isinstance(await store.open(job, fence()), Opened)
    assert await found(store, tag="nightly") == "ba"
    assert await found(store, tag="x") == ""


async def test_jobs_are_found_by_a_tag_however_they_ended(store: FullStore) -> None:
    trace = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
    tags = {"a": ("nightly", "eu-west"), "b": ("night",), "c": ("nightly", "%_'é"), "d": ()}
    for id, named in tags.items():
        job = replace(envelope(id, key=id), trace=tagged(trace, named))
        await store.submit([NewJob(job, ordered=False)])
    await committed(store, envelope("a", key="a"))
    assert await found(store, tag="nightly") == "ca"
    assert await found(store, tag="night") == "b"
    assert await found(store, tag="%_'é") == "c"
    assert await found(store, tag="eu") == ""
    assert await found(store, tag="traceparent") == ""
    assert await found(store, tag="nightly", state=JobState.QUEUED) == "c"
    for id, named in tags.items():
        record = await store.job(id)
        assert record is not None
        assert (record.tags, record.trace["traceparent"]) == (named, trace["traceparent"])
    await unordered(store, "e", key="e")
    plain = await store.job("e")
    assert plain is not None
    assert (plain.tags, plain.trace) == ((), {})
