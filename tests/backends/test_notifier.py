"""Bells: soon where they ring, a little later where they do not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobkit.backends.sqlite.broker import SqliteBroker
from jobkit.backends.sqlite.coordinator import SqliteCoordinator
from jobkit.backends.sqlite.engine import open_engine
from jobkit.backends.sqlite.notifier import POLL_SECONDS, Notifier, notifier_directory
from jobkit.backends.sqlite.store import SqliteStore
from jobkit.model.clock import SystemClock
from jobkit.model.partition import Partition
from jobkit.testing.conformance.harness import a_moment, soon
from jobkit.testing.conformance.manual_clock import ManualClock
from jobkit.testing.conformance.values import committed, envelope, submitted
from tests.backends.children import ROOT, environment, python


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "jobkit.db")


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Notifier, Notifier]]:
    """Two processes' notifiers in one directory, on a clock that stands still: nothing is polled."""
    pair = Notifier(ManualClock(), tmp_path / "notify"), Notifier(ManualClock(), tmp_path / "notify")
    for notifier in pair:
        notifier.start()
    yield pair
    for notifier in pair:
        notifier.stop()


@pytest.mark.parametrize("what", ["job", "queue"])
async def test_a_waiter_in_another_process_is_woken_by_a_bell(path: str, what: str) -> None:
    async with open_engine(path, SystemClock()) as engine:
        store, broker = SqliteStore(engine), SqliteBroker(engine)
        await broker.declare("t", 1)
        child = await asyncio.create_subprocess_exec(
            *python("tests.backends.waiter", path, what), cwd=ROOT, env=environment(), stdout=asyncio.subprocess.PIPE
        )
        assert child.stdout
        async with asyncio.timeout(30):
            assert await child.stdout.readline() == b"ready\n"
            job = await submitted(store, "a")
            await committed(store, job)
            await broker.publish([(Partition("t", 0), job)])
            assert await child.stdout.readline() == b"woken\n"
            assert await child.wait() == 0
        # It took its own bell away again.
        assert len(list(notifier_directory(path).iterdir())) == 1
    assert not notifier_directory(path).exists()


@pytest.mark.parametrize("topic", ["job/1", "lease/t/ké\n", "lease/" + "x" * 40_000, ""])
async def test_a_topic_rings_in_the_other_process_and_no_other_topic_does(
    pair: tuple[Notifier, Notifier], topic: str
) -> None:
    here, there = pair
    with there.subscribe(topic) as subscription, there.subscribe("other") as other:
        here.notify({topic, "something else"})
        await soon(subscription.wait(3600))
        waiting = asyncio.create_task(other.wait(3600))
        await a_moment()
        # Too much to name in one datagram is rung as "everything".
        assert waiting.done() == (len(topic) > 4_096)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_a_topic_that_ends_in_a_slash_hears_all_below_it(pair: tuple[Notifier, Notifier]) -> None:
    here, there = pair
    with here.subscribe("lease/t/") as own, there.subscribe("lease/t/") as other:
        here.notify({"lease/t/k"})
        await soon(own.wait(3600))
        await soon(other.wait(3600))
        waiting = asyncio.create_task(own.wait(3600))
        here.notify({"lease/u/k", "lease/t"})
        await a_moment()
        assert not waiting.done()
        here.notify({"lease/t/"})
        await soon(waiting)


async def test_a_bell_that_rang_before_the_wait_is_not_missed(pair: tuple[Notifier, Notifier]) -> None:
    here, _ = pair
    with here.subscribe("x") as subscription:
        here.notify({"x"})
        await soon(subscription.wait(3600))


async def test_a_process_that_came_later_hears_too(pair: tuple[Notifier, Notifier], tmp_path: Path) -> None:
    here, _ = pair
    here.notify({"x"})
    newcomer = Notifier(ManualClock(), tmp_path / "notify")
    newcomer.start()
    with newcomer.subscribe("x") as subscription:
        here.notify({"x"})
        await soon(subscription.wait(3600))
    newcomer.stop()


async def test_the_bell_of_a_dead_process_is_taken_away(pair: tuple[Notifier, Notifier], tmp_path: Path) -> None:
    here, there = pair
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    dead.bind(str(tmp_path / "notify" / "dead"))
    dead.close()
    with there.subscribe("x") as subscription:
        here.notify({"x"})
        await soon(subscription.wait(3600))
    assert not (tmp_path / "notify" / "dead").exists()
    assert len(list((tmp_path / "notify").iterdir())) == 2


async def test_a_process_that_does_not_listen_disturbs_nobody(pair: tuple[Notifier, Notifier], tmp_path: Path) -> None:
    here, there = pair
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "notify" / "deaf"))
        with there.subscribe("last") as subscription:
            for number in range(500):
                here.notify({f"topic {number}" + "x" * 3_000})
                await a_moment()
            waiting = asyncio.create_task(subscription.wait(3600))
            await a_moment()
            assert not waiting.done()
            here.notify({"last"})
            await soon(waiting)


async def test_who_was_rung_more_often_than_it_could_hear_looks_at_everything(pair: tuple[Notifier, Notifier]) -> None:
    here, there = pair
    with there.subscribe("lost") as subscription:
        for number in range(2_000):
            here.notify({f"topic {number}"})
        here.notify({"lost"})
        await soon(subscription.wait(3600))


async def test_a_waiter_whose_bell_was_lost_looks_again_within_about_a_second(path: str) -> None:
    clock = ManualClock()
    async with open_engine(path, clock) as one, open_engine(path, clock) as other:
        waiting = asyncio.create_task(SqliteStore(one).wait_finished(["a"], 3600))
        await a_moment()
        for ear in notifier_directory(path).iterdir():
            ear.unlink()
        await submitted(SqliteStore(other), "a")
        await a_moment()
        assert not waiting.done()
        clock.advance(POLL_SECONDS * 1.3)
        await soon(waiting)


async def test_waiting_below_a_prefix_where_nothing_is_leased_is_no_busy_loop(path: str) -> None:
    clock = ManualClock()
    async with open_engine(path, clock) as engine:
        waiting = asyncio.create_task(SqliteCoordinator(engine).wait_change("leader/", 10.0))
        for _ in range(5):
            await a_moment()
            clock.advance(1.9)
        await a_moment()
        assert not waiting.done()
        clock.advance(1.0)
        await soon(waiting)


async def test_a_path_too_long_for_a_socket_is_replaced_by_a_short_one(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    path = str(deep / "jobkit.db")
    assert len(str(notifier_directory(path))) < 90
    assert notifier_directory(path) != notifier_directory(path + "2")
    async with open_engine(path, SystemClock()) as one, open_engine(path, SystemClock()) as other:
        broker = SqliteBroker(one)
        await broker.declare("t", 1)
        async with SqliteBroker(other).consume(Partition("t", 0), "me") as consumer:
            waiting = asyncio.create_task(consumer.receive(1))
            await broker.publish([(Partition("t", 0), envelope("a"))])
            await soon(waiting)


async def test_two_names_of_one_database_share_their_notifications(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "jobkit.db")
    assert notifier_directory(str(tmp_path / "link")) == notifier_directory(str(tmp_path / "jobkit.db"))


async def test_where_no_bell_can_hang_waiting_means_polling(path: str, tmp_path: Path) -> None:
    notifier_directory(path).write_text("in the way")
    clock = ManualClock()
    async with open_engine(path, clock) as one, open_engine(path, clock) as other:
        waiting = asyncio.create_task(SqliteStore(one).wait_finished(["a"], 3600))
        await a_moment()
        await submitted(SqliteStore(other), "a")
        clock.advance(POLL_SECONDS * 1.3)
        await soon(waiting)


async def test_a_directory_taken_away_while_a_bell_is_hung_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir, times = Path.mkdir, 0

    def mkdir_in_vain(path: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        nonlocal times
        times += 1
        if times > 2:
            mkdir(path, mode, parents, exist_ok)

    monkeypatch.setattr(Path, "mkdir", mkdir_in_vain)
    notifier = Notifier(ManualClock(), tmp_path / "notify")
    notifier.start()
    assert len(list((tmp_path / "notify").iterdir())) == 1
    notifier.stop()
    assert not (tmp_path / "notify").exists()
