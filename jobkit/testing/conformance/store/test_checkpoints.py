"""What a job keeps of its work: under the fence, through all that may happen to it, and gone with its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from jobkit.model.blob import BlobRef
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.model.partition import Partition
from jobkit.ports.checkpoints import CHECKPOINT, Checkpoint, SaveAnswer
from jobkit.ports.store import Opened
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.values import (
    NOTHING,
    buried,
    cancel,
    committed,
    envelope,
    failure,
    fence,
    opened,
    submitted,
    unordered,
)

HALF = Checkpoint(CHECKPOINT, 1, b'{"done": 50}')
MOST = Checkpoint(CHECKPOINT, 2, b'{"done": 90}')
PART = BlobRef("part-1.mp4", "t/k/5-n.1/part-1.mp4", 7, "ab" * 32, "a")
CUT = Checkpoint("cut", 1, b"[1, 2]", (PART,))
MERGED = Checkpoint("merge", 1, b"null")


async def save(store: FullStore, job: Envelope, under: Fence, *kept: Checkpoint) -> None:
    for one in kept:
        assert await store.save_checkpoint(job, under, one) is SaveAnswer.SAVED


async def kept(store: FullStore, id: str = "a") -> list[Checkpoint]:
    """Return what is kept of a job, without the times."""
    return [replace(one, at=0.0) for one in await store.checkpoints(id)]


async def files(store: FullStore, *, limit: int = 100) -> list[BlobRef]:
    found: list[BlobRef] = []
    after: str | None = ""
    while after is not None:
        page, after = await store.step_files("t", "k", after=after, limit=limit)
        found += page
    return found


async def test_what_is_kept_comes_back_as_it_was_in_the_order_it_was_first_kept(store: FullStore) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    assert await kept(store) == []
    await save(store, job, under, CUT, HALF, MERGED, MOST)
    assert await kept(store) == [CUT, MOST, MERGED]
    assert all(one.at > 1_600_000_000 for one in await store.checkpoints("a"))
    assert await kept(store, "nobody") == []


async def test_each_value_and_name_is_kept_as_it_is(store: FullStore) -> None:
    job = await submitted(store, "a")
    odd = Checkpoint("Zähler 1/2 'x' \U0001f600", 3, '{"ü": "\U0001f600"}'.encode() + b" " * 300_000)
    await save(store, job, await opened(store, job), odd)
    assert await kept(store) == [odd]


async def test_a_version_that_is_no_higher_overwrites_nothing(store: FullStore) -> None:
    """A request that was under way for long, or that is sent again because its answer was lost."""
    job = await submitted(store, "a")
    under = await opened(store, job)
    await save(store, job, under, MOST, CUT)
    for late in (HALF, MOST, replace(MOST, value=b"0"), replace(CUT, value=b"0", blobs=())):
        assert await store.save_checkpoint(job, under, late) is SaveAnswer.NEWER
    assert await kept(store) == [MOST, CUT]
    assert await files(store) == [PART]


async def test_a_stale_holder_keeps_nothing(store: FullStore) -> None:
    job = await submitted(store, "a")
    stale = await opened(store, job)
    await save(store, job, stale, HALF)
    later = await opened(store, job)
    assert await store.save_checkpoint(job, stale, MOST) is SaveAnswer.REFUSED
    assert await kept(store) == [HALF]
    await save(store, job, later, MOST, CUT)
    same_token = Fence(later.token, "another", "somebody")
    for other in (stale, same_token, fence()):
        assert await store.save_checkpoint(job, other, replace(MOST, version=9)) is SaveAnswer.REFUSED
    assert await kept(store) == [MOST, CUT]


async def test_the_mark_counts_not_only_under_which_fence_the_job_was_opened(store: FullStore) -> None:
    """Another job of the key was opened since: whoever holds the lease on this one has lost it."""
    job, other = await unordered(store, "a"), await unordered(store, "b")
    stale = await opened(store, job)
    await opened(store, other)
    assert await store.save_checkpoint(job, stale, HALF) is SaveAnswer.REFUSED
    assert await kept(store) == []


async def test_jobs_under_one_lease_keep_their_own(store: FullStore) -> None:
    first, second = await unordered(store, "a"), await unordered(store, "b")
    under = await opened(store, first)
    await save(store, first, under, HALF)
    await opened(store, second, under)
    await save(store, second, under, MOST)
    assert await store.save_checkpoint(envelope("unknown"), under, HALF) is SaveAnswer.REFUSED
    assert (await kept(store, "a"), await kept(store, "b")) == ([HALF], [MOST])


async def test_it_survives_failed_attempts_interruptions_and_takeovers(store: FullStore) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    await save(store, job, under, HALF, CUT)
    await store.fail(job, under, failure(1))
    assert await kept(store) == [HALF, CUT]
    await store.interrupted(job, await opened(store, job))
    await store.shelve(job, Partition("t", 0))
    under = await opened(store, job)
    await save(store, job, under, MOST)
    assert await kept(store) == [MOST, CUT]
    assert await files(store) == [PART]


async def test_it_survives_being_put_off(store: FullStore) -> None:
    job = await unordered(store, "a")
    under = await opened(store, job)
    await save(store, job, under, HALF, CUT)
    await store.snooze(job, under, after=60.0)
    assert (await kept(store), await files(store)) == ([HALF, CUT], [PART])


async def commit(store: FullStore, job: Envelope, under: Fence) -> None:
    await store.commit(job, under, NOTHING)


async def cancel_it(store: FullStore, job: Envelope, under: Fence) -> None:
    await cancel(store, job.id, "nobody")


async def bury_and_purge(store: FullStore, job: Envelope, under: Fence) -> None:
    await store.bury(job, under, reason="hopeless")
    assert (await kept(store), await files(store)) == ([MOST, CUT], [PART]), "a dead job keeps what it has"
    (letter,) = await store.dead()
    await store.purge_dead(letter.number)


@pytest.mark.parametrize("end", [commit, cancel_it, bury_and_purge])
async def test_it_is_gone_with_the_end_of_the_job_and_the_others_is_not(
    store: FullStore, end: Callable[[FullStore, Envelope, Fence], Awaitable[None]]
) -> None:
    other, job = await unordered(store, "b"), await unordered(store, "a")
    under = await opened(store, other)
    await save(store, other, under, MERGED)
    await opened(store, job, under)
    await save(store, job, under, MOST, CUT)
    await end(store, job, under)
    assert (await kept(store, "a"), await files(store)) == ([], [])
    assert await kept(store, "b") == [MERGED]
    assert await store.save_checkpoint(job, under, replace(MOST, version=9)) is SaveAnswer.REFUSED
    assert await kept(store, "a") == []


async def test_a_dead_job_that_is_tried_again_goes_on_from_what_it_kept(store: FullStore) -> None:
    job = await submitted(store, "a")
    await save(store, job, await opened(store, job), HALF, CUT)
    assert await store.requeue_dead(await buried(store, job)) is not None
    assert await kept(store) == [HALF, CUT]
    again = fence()
    answer = await store.open(job, again)
    assert isinstance(answer, Opened)
    assert answer.opens == 1
    await save(store, job, again, MOST)
    await committed(store, job, NOTHING, again)
    assert (await kept(store), await files(store)) == ([], [])


async def test_a_message_that_is_buried_leaves_what_its_job_keeps_to_the_letter(store: FullStore) -> None:
    job = await unordered(store, "a")
    await save(store, job, await opened(store, job), CUT)
    await store.bury_message(job.body, job, reason="unknown type")
    assert await kept(store) == [CUT]
    (letter,) = await store.dead()
    await store.purge_dead(letter.number)
    assert await kept(store) == []


async def test_files_of_many_steps_come_in_pages(store: FullStore) -> None:
    jobs = [await unordered(store, id) for id in ("a", "b")]
    under = fence()
    expected = set()
    for job in jobs:
        await opened(store, job, under)
        for number in range(5):
            part = replace(PART, name=f"{number}", location=f"t/k/5-n.1/{job.id}-{number}")
            expected.add(part)
            await save(store, job, under, Checkpoint(f"step {number}", 1, b"0", (part,)))
        await save(store, job, under, MERGED)
    assert set(await files(store, limit=3)) == expected
    assert await store.step_files("t", "other") == ([], None)


async def test_retention_leaves_the_files_of_steps_to_their_key(store_harness: Harness[FullStore]) -> None:
    """A dead job whose files are kept has a key that is known: else nobody could tell what its files are."""
    async with store_harness.process() as store:
        job, other = await unordered(store, "a"), await unordered(store, "b", key="idle")
        under = await opened(store, job)
        await save(store, job, under, CUT)
        await store.bury(job, under, reason="hopeless")
        await committed(store, other)
        await store_harness.elapse(store_harness.ttl)
        for _ in range(3):
            await store.prune(older_than=store_harness.ttl / 2, keep_at_most=100)
        assert await store.key("t", "idle") is None
        assert await store.key("t", "k") is not None
        assert await kept(store) == [CUT]
