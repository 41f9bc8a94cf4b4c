"""Commits that come late on purpose: the store answers them, whoever still listens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from jobkit.backends.registry import memory_planes
from jobkit.errors import Unavailable
from jobkit.lab.drill.fence_trial import LateWrite
from jobkit.lab.drill.late_commit import LateCommit, Lateness, LateStore
from jobkit.lab.drill.protections import Protection, without
from jobkit.lab.drill.run import _taken
from jobkit.model.clock import SystemClock
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.model.plane import Plane
from jobkit.ports.planes import Planes
from jobkit.ports.store import Committed, Effects, LogEntry, Opened

KEY = LateCommit.name(Lateness.WIRE, 1)
JOB = Envelope(id="j", type="t", body=b"{}", key=KEY)
OLD, NEW = Fence(1, "a", "first"), Fence(2, "b", "second")
EFFECTS = Effects(entries=[LogEntry("made", b"{}")])


@pytest.fixture
async def planes() -> AsyncIterator[Planes]:
    async with memory_planes() as opened:
        yield opened


class Wire:
    """Holds commits until let through; the first few of them are in doubt."""

    def __init__(self, store: Any, doubts: int = 0) -> None:
        self.store, self.doubts, self.open = store, doubts, asyncio.Event()

    async def commit(self, envelope: Envelope, fence: Fence, effects: Effects) -> Any:
        await self.open.wait()
        if self.doubts:
            self.doubts -= 1
            raise Unavailable(Plane.STORE, "no answer")
        return await self.store.commit(envelope, fence, effects)


async def taken_over(planes: Planes, wire: Wire, folder: Path) -> dict[str, Any]:
    """Have a commit come after the key was opened by another, to a worker that no longer listens."""
    assert isinstance(await planes.store.open(JOB, OLD), Opened)
    expected = LateCommit(folder, KEY)
    expected.first.write_text(OLD.nonce)
    late = asyncio.create_task(LateStore(wire, folder).commit(JOB, OLD, EFFECTS))
    await comes(expected.announced.exists)
    assert isinstance(await planes.store.open(JOB, NEW), Opened)
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    wire.open.set()
    await comes(lambda: said(expected).get("answer") in ("Refused", "Committed"))
    return said(expected)


def said(late: LateCommit) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(late.answer.read_text()) if late.answer.exists() else {}
    return answer


async def comes(happened: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if happened():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never happened")


@pytest.mark.parametrize("doubts", [0, 1])
async def test_a_commit_from_before_a_takeover_is_refused(planes: Planes, tmp_path: Path, doubts: int) -> None:
    assert await taken_over(planes, Wire(planes.store, doubts), tmp_path) == {"answer": "Refused", "heard": False}
    # Only the first commit of the key is late, and whoever took over commits as ever.
    assert isinstance(await LateStore(planes.store, tmp_path).commit(JOB, NEW, EFFECTS), Committed)


async def test_without_the_fence_it_is_taken_and_that_is_a_violation(planes: Planes, tmp_path: Path) -> None:
    unfenced = without(Protection.FENCING, planes, tmp_path).store
    assert (await taken_over(planes, Wire(unfenced), tmp_path))["answer"] == "Committed"
    (violation,) = _taken([LateWrite(Lateness.WIRE, "the store took it", tried=True)])
    assert violation.invariant == "fencing"
    assert list(_taken([LateWrite(Lateness.WIRE, "its worker did not come to commit")])) == []


async def test_whoever_took_the_job_over_before_it_was_to_be_late_commits_as_ever(
    planes: Planes, tmp_path: Path
) -> None:
    """Nobody would wake a worker that stopped there: the drill looks after the one that began the job."""
    late = LateCommit(tmp_path, KEY)
    late.first.write_text(OLD.nonce)
    assert isinstance(await planes.store.open(JOB, NEW), Opened)
    assert isinstance(await LateStore(planes.store, tmp_path).commit(JOB, NEW, EFFECTS), Committed)
    assert not late.announced.exists()


async def test_other_jobs_are_as_ever(planes: Planes, tmp_path: Path) -> None:
    job = Envelope(id="k", type="t", body=b"{}", key="session-1")
    assert isinstance(await planes.store.open(job, OLD), Opened)
    assert isinstance(await LateStore(planes.store, tmp_path).commit(job, OLD, EFFECTS), Committed)
    assert not LateCommit(tmp_path, "session-1").announced.exists()


async def test_who_took_over_works_until_the_drill_has_seen_enough(tmp_path: Path) -> None:
    late = LateCommit(tmp_path, KEY)
    first = asyncio.create_task(late.work("first", SystemClock()))
    await comes(late.first.exists)
    second = asyncio.create_task(late.work("second", SystemClock()))
    late.wanted.touch()
    await first
    assert not second.done()
    late.over.touch()
    await second
