"""Plain `def` processors in threads and in processes: the same context, and what ends them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from jobkit import Context, Snooze, SyncContext, processor
from jobkit.errors import ConfigurationError, MemoryExceeded, ProcessDied
from jobkit.model.safe_text import error_traceback
from jobkit.runner.carried_error import CarriedError
from jobkit.testing import run_job
from tests.runner.blocking import Odd, Work, in_a_process, in_a_thread, short, short_thread

BOTH = pytest.mark.parametrize("kind", [in_a_thread, in_a_process], ids=["thread", "process"])


@BOTH
async def test_the_context_does_the_same_from_there(kind: Any) -> None:
    outcome = await run_job(kind, Work(), knows=[in_a_thread] if kind is in_a_process else [])
    assert outcome.blobs == {"a.txt": b"one", "more/b.txt": b"two"}
    assert outcome.records["note"] == {"text": "first"}
    assert [entry.kind for entry in outcome.log] == ["worked"]
    assert [job.id[:6] for job in outcome.submitted] == ["after-"]
    assert outcome.record.message == "half"
    there = outcome.result
    assert (there.pid == os.getpid()) is (kind is in_a_thread)
    if kind is in_a_thread:
        assert there.thread != threading.get_ident()


@BOTH
async def test_it_looks_at_what_there_is_and_makes_groups_from_there(kind: Any) -> None:
    outcome = await run_job(kind, Work(do="rest"), knows=[in_a_thread] if kind is in_a_process else [])
    assert outcome.checkpoint == {"text": "half"}
    assert sorted(job.key or "" for job in outcome.submitted) == ["a", "b"]


@BOTH
async def test_what_it_raises_is_raised_as_it_is(kind: Any) -> None:
    with pytest.raises(Odd) as odd:
        await run_job(kind, Work(do="raise"))
    assert odd.value.code == 7
    assert "in _raise" in error_traceback(odd.value)
    with pytest.raises(Snooze) as snoozed:
        await run_job(kind, Work(do="snooze"))
    assert snoozed.value.after.total_seconds() == 9
    with pytest.raises(RuntimeError, match="SystemExit: 3, which is meant to end a program"):
        await run_job(kind, Work(do="exit"))


async def test_more_memory_than_it_may_have_is_a_failure_by_name() -> None:
    with pytest.raises(MemoryExceeded, match=r"needs more than the 1\.0 GiB of memory"):
        await run_job(in_a_process, Work(do="memory"))


async def test_a_process_that_dies_is_a_failure_that_says_how() -> None:
    with pytest.raises(ProcessDied, match="killed by SIGSEGV"):
        await run_job(in_a_process, Work(do="segfault"))
    with pytest.raises(ProcessDied, match="ended with exit code 5"):
        await run_job(in_a_process, Work(do="quit"))


def _gone(pid: int) -> bool:
    """Return whether a process has ended, be it that nobody has asked how."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def _until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(30):
        while not holds():  # noqa: ASYNC110  (it is another process that makes it so)
            await anyio.sleep(0.01)


async def test_a_process_whose_time_is_over_is_killed_and_reaped_however_far_it_has_come() -> None:
    before = psutil.Process().children()
    with pytest.raises(TimeoutError, match=r"longer than the processor's timeout of 0\.5 s"):
        await run_job(short, Work(do="sleep"))
    assert psutil.Process().children() == before


async def test_a_process_whose_attempt_is_cancelled_is_killed_at_once(tmp_path: Path) -> None:
    told = tmp_path / "pids"
    async with anyio.create_task_group() as group:

        async def attempt() -> None:
            await run_job(in_a_process, Work(do="hang", told=told))

        group.start_soon(attempt)
        await _until(told.exists)
        started = time.monotonic()
        group.cancel_scope.cancel()
    assert time.monotonic() - started < 4
    child, grandchild = map(int, told.read_text().split())
    assert not psutil.pid_exists(child)
    await _until(lambda: _gone(grandchild))


async def test_a_thread_whose_time_is_over_is_told_at_its_next_call(tmp_path: Path) -> None:
    told = tmp_path / "told"
    with pytest.raises(TimeoutError):
        await run_job(short_thread, Work(do="until_told", told=told))
    await _until(lambda: told.exists() and told.read_text() == "AttemptOver")


def test_an_error_that_cannot_be_carried_is_told_by_its_text() -> None:
    class Local(Exception):
        pass

    carried = CarriedError.of(Local("here"))
    assert carried.pickled is None
    assert isinstance(carried.error(), RuntimeError)
    assert str(carried.error()) == "Local: here"
    full = CarriedError.of(OSError(28, "No space left on device")).error()
    assert isinstance(full, OSError)
    assert full.errno == 28


def _plain(job: Work, ctx: Context) -> None: ...
async def _async_sync(job: Work, ctx: SyncContext) -> None: ...
async def _async(job: Work, ctx: Context) -> None: ...
def _sync(job: Work, ctx: SyncContext) -> None: ...


@pytest.mark.parametrize(
    ("function", "said", "problem"),
    [
        (_plain, {}, "plain 'def', which runs in a thread: annotate 'ctx: SyncContext'"),
        (_async_sync, {}, "is an 'async def', which takes a Context"),
        (_async, {"isolation": "process"}, "isolation='process' is for a plain 'def'"),
        (_sync, {"isolation": "thread"}, "isolation must be 'process' or None"),
        (_sync, {"memory": "1 GiB"}, "memory can be bounded only with isolation='process'"),
        (_sync, {"isolation": "process", "memory": "much"}, "memory must be a size, such as '2 GiB'"),
        (_sync, {"isolation": "process", "memory": "1 MiB"}, "memory must be 128 MiB at least"),
    ],
)
def test_what_cannot_work_is_refused_in_words(function: Callable[..., Any], said: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        processor("t", key=lambda _: "k", **said)(function)


def test_a_function_that_another_process_does_not_find_is_refused() -> None:
    def local(job: Work, ctx: SyncContext) -> None: ...

    with pytest.raises(ConfigurationError, match="needs a function at the top of a module"):
        processor("t", key=lambda _: "k", isolation="process")(local)
