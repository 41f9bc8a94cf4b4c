"""The client for programs without an event loop, on the embedded backends: threads, forks, and the same surface."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jobkit import Client, SyncClient, SyncHandle
from jobkit.client.connect import connect
from jobkit.client.schedules import ScheduleBook
from jobkit.client.sync import SyncFileSet, SyncScheduleBook
from jobkit.errors import ConfigurationError, JobCancelled, JobNotFound, NotTransactional, PayloadInvalid, WaitTimeout
from jobkit.files import FileSet
from jobkit.handles import Handle
from jobkit.settings import Settings
from tests.steps import Step, loose, step

ROOT = Path(__file__).parents[3]


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncClient]:
    monkeypatch.chdir(tmp_path)
    with SyncClient(Settings(plugins=("tests.steps",))) as opened:
        yield opened


@pytest.mark.parametrize(
    ("asynchronous", "synchronous"),
    [(Client, SyncClient), (Handle, SyncHandle), (ScheduleBook, SyncScheduleBook), (FileSet, SyncFileSet)],
)
def test_it_has_the_same_surface(asynchronous: type, synchronous: type) -> None:
    # Where the files' bytes lie is a port, and changes are what handles are made of.
    wanted = {name for name in vars(asynchronous) if not name.startswith("_")} - {"blobs", "changes"}
    assert wanted <= set(dir(synchronous))
    for name in wanted - {"schedules"}:
        theirs = inspect.signature(getattr(asynchronous, name))
        ours = inspect.signature(getattr(synchronous, name))
        assert [*ours.parameters] == [*theirs.parameters], name


def test_jobs_are_submitted_watched_and_cancelled(client: SyncClient) -> None:
    first = client.submit("loose", Step(on="a"), id="one")
    assert (first.id, first.published) == ("one", True)
    assert client.status("one").state == "queued"
    with pytest.raises(WaitTimeout, match="still queued"):
        list(client.watch("one", timeout=0.01))
    handle = loose.submit(client, Step(on="b"))
    with pytest.raises(WaitTimeout, match="still queued"):
        handle.result(timeout=0.01)
    assert handle.cancel(reason="enough").cancelled
    with pytest.raises(JobCancelled, match="enough"):
        handle.result()
    assert [one.state for one in handle.progress()] == ["cancelled"]
    assert [record.state for record in client.watch(handle.id)] == ["cancelled"]
    assert client.handle(handle.id, loose).status().key == "b"
    many = client.submit_many([client.job("step", Step(on=on)) for on in "ab"])
    assert [one.sequence for one in many] == [1, 1]
    assert len(client.files("loose", "a")) == 0
    assert list(client.schedules.list()) == []
    assert client.pause("loose").scope.type == "loose"
    assert [pause.scope.type for pause in client.pauses()] == ["loose"]


def test_ordered_jobs_keep_the_order_in_which_they_are_submitted(client: SyncClient) -> None:
    handles = [step.submit(client, Step(on="k", number=number)) for number in range(3)]
    assert [handle.status().sequence for handle in handles] == [1, 2, 3]


def test_errors_are_those_of_the_client(client: SyncClient) -> None:
    with pytest.raises(PayloadInvalid):
        client.job("step", {"nmber": 1})
    with pytest.raises(JobNotFound):
        client.status("nobody")
    with pytest.raises(NotTransactional):
        client.submit("loose", Step(), connection=object())


def test_many_threads_share_one_client(client: SyncClient) -> None:
    before = threading.active_count()
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda number: client.submit("loose", Step(on=f"k{number}")).id, range(40)))
    assert len(set(ids)) == 40
    assert {client.status(id).state for id in ids} == {"queued"}
    # The loop's, and one that the loop works on the database with.
    assert threading.active_count() - before <= 3


def test_it_is_opened_once_and_not_after_it_was_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    opened = []

    @asynccontextmanager
    async def counted() -> AsyncIterator[Client]:
        async with connect(Settings(plugins=("tests.steps",))) as client:
            opened.append("opened")
            yield client
        opened.append("closed")

    client = SyncClient(open=counted)
    assert opened == []
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.pauses(), range(8)))
    client.close()
    client.close()
    assert opened == ["opened", "closed"]
    with pytest.raises(RuntimeError, match="this client is closed"):
        client.pauses()


def test_a_client_that_cannot_open_says_why_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    client = SyncClient(Settings(plugins=("no.such.plugin",)))
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="does not import"):
            client.pauses()


def _run(program: str, folder: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


FORKING = """
import os, sys
from jobkit import SyncClient
from jobkit.settings import Settings
from tests.steps import Step, loose

client = SyncClient(Settings(plugins=("tests.steps",)))
loose.submit(client, Step(on="before"), id="before")
child = os.fork()
if child == 0:
    # Of the parent's memory alone: its thread is not here.
    loose.submit(client, Step(on="child"), id="child")
    assert client.status("before").state == "queued"
    sys.exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
# What the child did, and how it ended, has not touched what the parent has open.
loose.submit(client, Step(on="after"), id="after")
print(*(client.status(id).state for id in ("before", "child", "after")))
"""


def test_it_works_in_a_forked_process_and_goes_on_in_its_parent(tmp_path: Path) -> None:
    assert _run(FORKING, tmp_path) == (0, "queued queued queued\n", "")


FORKING_MEANWHILE = """
import os, sys, threading
from jobkit import SyncClient
from jobkit.settings import Settings
from tests.steps import Step, loose

client = SyncClient(Settings(plugins=("tests.steps",)))
loose.submit(client, Step(on="before"), id="before")
begun, forking = threading.Event(), threading.Event()
# The last one that is registered is the first that runs.
os.register_at_fork(before=forking.set)

def in_a_transaction(transaction):
    transaction.execute("UPDATE keys SET touched = touched")
    begun.set()
    forking.wait()

def write():
    client.call(lambda one: one._planes.store._plane.write(in_a_transaction))

writing = threading.Thread(target=write)
writing.start()
begun.wait()
child = os.fork()
if child == 0:
    loose.submit(client, Step(on="child"), id="child")
    sys.exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
writing.join()
loose.submit(client, Step(on="after"), id="after")
print(*(client.status(id).state for id in ("before", "child", "after")))
"""


def test_a_process_that_is_forked_in_the_midst_of_a_transaction_can_write(tmp_path: Path) -> None:
    """SQLite would believe for ever that somebody in the child holds the lock."""
    assert _run(FORKING_MEANWHILE, tmp_path) == (0, "queued queued queued\n", "")


def test_a_program_that_does_not_close_it_ends_all_the_same(tmp_path: Path) -> None:
    program = "from jobkit import SyncClient; client = SyncClient(); print(len(client.pauses()))"
    assert _run(program, tmp_path) == (0, "0\n", "")
