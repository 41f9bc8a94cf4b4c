"""Text that PostgreSQL cannot keep is kept legibly, and fails nothing."""

from __future__ import annotations

import pytest

from jobkit.backends.postgres.sanitize import fit
from jobkit.backends.postgres.store import PostgresStore
from jobkit.model.fence import Receipt
from jobkit.ports.store import Committed, Effects, LogEntry
from jobkit.testing.conformance.values import failure, fence, opened, submitted

ODD = "before \0 and \ud800 after é"
LEGIBLE = "before \\x00 and \\ud800 after é"


@pytest.mark.parametrize(("text", "kept"), [("plain é \\x00", "plain é \\x00"), (ODD, LEGIBLE)])
def test_only_what_cannot_be_kept_is_rewritten(text: str, kept: str) -> None:
    assert fit(text) == kept


async def test_what_processors_say_may_hold_anything(store: PostgresStore) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    assert await store.progress(job, under, fraction=0.5, message=ODD)
    running = await store.job("a")
    assert running
    assert running.message == LEGIBLE
    assert await store.fail(job, under, failure(1, ODD)) == 1
    record = await store.job("a")
    assert record
    assert [failed.error for failed in record.failures] == [ODD]
    assert isinstance(await store.bury(job, under, reason=ODD, detail=ODD), Receipt)
    await store.bury_message(b"\0", None, reason=ODD, detail=ODD)
    for letter in await store.dead():
        assert (letter.reason, letter.detail) == (LEGIBLE, LEGIBLE)


async def test_records_and_entries_may_have_any_name(store: PostgresStore) -> None:
    job = await submitted(store, "a")
    under = fence()
    await store.open(job, under)
    effects = Effects(records={ODD: b"1"}, entries=[LogEntry(ODD, b"2")])
    assert isinstance(await store.commit(job, under, effects), Committed)
    assert await store.record("t", "k", ODD) == b"1"
    assert [entry.kind for entry in await store.log("t", "k")] == [LEGIBLE]


async def test_looking_for_what_cannot_be_there_finds_nothing(store: PostgresStore) -> None:
    assert await store.job(ODD) is None
    assert await store.key(ODD, ODD) is None
    assert await store.log(ODD, ODD) == []
    assert await store.jobs(type=ODD, key=ODD) == []
