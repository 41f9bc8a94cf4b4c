"""Plain `def` processors, for threads and for processes: at the top of a module, where a process finds them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from jobkit import Payload, Projection, Result, RetryPolicy, Snooze, SyncContext, processor
from jobkit.errors import FileMissing


class Work(Payload):
    """What to do, and where to write what a test wants to know."""

    on: str = "k"
    do: str = "all"
    told: Path = Path()


class Worked(Result):
    """Who did it."""

    pid: int
    thread: int


class Note(BaseModel):
    """A record."""

    text: str


class Odd(Exception):
    """An error with a constructor of its own."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


def _all(ctx: SyncContext) -> None:
    ctx.log.info("working", number=3, path=Path("a"))
    (ctx.workdir() / "scratch").write_text("x")
    with ctx.blobs.create("a.txt") as path:
        path.write_text("one")
    with ctx.blobs.directory("more") as folder:
        (folder / "b.txt").write_text("two")
    try:
        with ctx.blobs.create("never.txt") as path:
            path.write_text("no")
            raise KeyError("given up")
    except KeyError:
        pass
    ctx.progress(0.5, "half")
    ctx.append("worked", {"number": 1})
    ctx.record("note", Note(text="first"))
    assert ctx.read("note", Note) == Note(text="first")
    assert ctx.read("none", Note) is None
    assert ctx.submit("thread", Work(on="next"), id=f"after-{ctx.job.id}").startswith("after-")
    try:
        ctx.record("", Note(text="no name"))
    except ValueError as error:
        assert type(error).__name__ == "EffectInvalid"  # noqa: PT017


class Entry(BaseModel):
    """An entry."""

    number: int


class Tally(BaseModel):
    """How many entries there are."""

    entries: int = 0


tally = Projection("tally", Tally)


@tally.on("worked")
def _one_more(state: Tally, _: Entry) -> Tally:
    return Tally(entries=state.entries + 1)


def _rest(job: Work, ctx: SyncContext) -> None:
    """Call what looks at what there is, and what makes groups."""
    ctx.append("worked", {"number": 1})
    assert ctx.state(tally) == Tally(entries=1)
    assert list(ctx.files()) == []
    with suppress(FileMissing):
        ctx.files("thread", "nobody").download("a.txt", Path("b"))
        raise AssertionError
    assert ctx.resume(Note) is None
    ctx.checkpoint(Note(text="half"))
    assert ctx.resume(Note) == Note(text="half")
    assert list(ctx.members("nobody's")) == []
    members = [ctx.new_job("thread", Work(on=name)) for name in "ab"]
    ctx.submit_group(members, then=ctx.new_job("thread", Work(on="then"), id=f"then-{ctx.job.id}"))


def _told(job: Work, text: str) -> None:
    aside = job.told.with_suffix(".new")
    aside.write_text(text)
    aside.rename(job.told)


def _hang(job: Work, ctx: SyncContext) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    _told(job, f"{os.getpid()} {child.pid}")
    while True:
        time.sleep(600)


def _until_told(job: Work, ctx: SyncContext) -> None:
    _told(job, "began")
    try:
        while True:
            ctx.check()
            time.sleep(0.01)
    except Exception as error:
        _told(job, type(error).__name__)
        raise


def _memory(job: Work, ctx: SyncContext) -> None:
    parts: list[Any] = []
    while True:
        parts.append(bytearray(2**24))


def _raise(job: Work, ctx: SyncContext) -> None:
    raise Odd(code=7)


def _sleep(job: Work, ctx: SyncContext) -> None:
    time.sleep(600)


def _snooze(job: Work, ctx: SyncContext) -> None:
    raise Snooze(timedelta(seconds=9))


def _exit(job: Work, ctx: SyncContext) -> None:
    sys.exit(3)


def _quit(job: Work, ctx: SyncContext) -> None:
    os._exit(5)


def _segfault(job: Work, ctx: SyncContext) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _work(job: Work, ctx: SyncContext) -> Worked:
    if job.do == "all":
        _all(ctx)
    elif job.do != "nothing":
        globals()[f"_{job.do}"](job, ctx)
    return Worked(pid=os.getpid(), thread=threading.get_ident())


_ONCE = RetryPolicy(max_attempts=1)


@processor("thread", key=lambda job: job.on, retry=_ONCE, projections=[tally])
def in_a_thread(job: Work, ctx: SyncContext) -> Worked:
    return _work(job, ctx)


@processor("process", key=lambda job: job.on, retry=_ONCE, isolation="process", memory="1 GiB", projections=[tally])
def in_a_process(job: Work, ctx: SyncContext) -> Worked:
    return _work(job, ctx)


@processor("short", key=lambda job: job.on, retry=_ONCE, isolation="process", timeout=timedelta(seconds=0.5))
def short(job: Work, ctx: SyncContext) -> Worked:
    return _work(job, ctx)


@processor("short-thread", key=lambda job: job.on, retry=_ONCE, timeout=timedelta(milliseconds=200))
def short_thread(job: Work, ctx: SyncContext) -> Worked:
    return _work(job, ctx)
