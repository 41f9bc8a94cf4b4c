"""The store's clock: shared by all processes of a boot, continued across reboots, and deaf to the wall clock."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from jobkit.backends.sqlite.broker import SqliteBroker
from jobkit.backends.sqlite.coordinator import SqliteCoordinator
from jobkit.backends.sqlite.engine import Engine, open_engine
from jobkit.backends.sqlite.store import SqliteStore
from jobkit.backends.sqlite.store_clock import TICK_SECONDS, boot_id
from jobkit.model.clock import SystemClock
from jobkit.model.partition import Partition
from jobkit.ports.coordinator import Granted, Held, Member
from jobkit.ports.store import Opened, Stale
from jobkit.testing.conformance.manual_clock import ManualClock
from jobkit.testing.conformance.values import PROOF, committed, envelope, fence, submitted, unordered


class Machine:
    """One machine with its disk, which may be rebooted."""

    def __init__(self, directory: Path) -> None:
        self._path = str(directory / "jobkit.db")
        self._boots = 1
        self.clock = ManualClock()

    def engine(self) -> AbstractAsyncContextManager[Engine]:
        return open_engine(self._path, self.clock, boot=f"boot {self._boots}")

    def reboot(self) -> None:
        """Start again: the machine's clock begins at zero, the disk is as it was."""
        self._boots += 1
        self.clock.advance(3.0 - self.clock.now())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


async def store_time(engine: Engine) -> float:
    return await engine.plane("store").read(lambda transaction: transaction.now)


async def claimed(coordinator: SqliteCoordinator, nonce: str, ttl: float = 1_000.0) -> int:
    answer = await coordinator.claim("t/k", owner=nonce, nonce=nonce, ttl=ttl)
    assert isinstance(answer, Granted)
    return answer.token


async def test_a_reboot_ends_leases_and_members_and_tokens_still_rise(machine: Machine) -> None:
    async with machine.engine() as engine:
        coordinator = SqliteCoordinator(engine)
        before = await claimed(coordinator, "before")
        await coordinator.heartbeat(Member("gone", ("t",)), ttl=1_000.0)
    machine.reboot()
    async with machine.engine() as engine:
        coordinator = SqliteCoordinator(engine)
        assert await coordinator.leases() == []
        assert await coordinator.members() == []
        assert await claimed(coordinator, "after") > before


async def test_opening_again_in_the_same_boot_ends_nothing(machine: Machine) -> None:
    async with machine.engine() as engine:
        await claimed(SqliteCoordinator(engine), "first")
    async with machine.engine() as engine:
        answer = await SqliteCoordinator(engine).claim("t/k", owner="o", nonce="n", ttl=10.0)
        assert isinstance(answer, Held)


async def test_a_reboot_keeps_marks_and_jobs(machine: Machine) -> None:
    async with machine.engine() as engine:
        store = SqliteStore(engine)
        job = await submitted(store, "a")
        await store.open(job, fence(7))
    machine.reboot()
    async with machine.engine() as engine:
        store = SqliteStore(engine)
        assert await store.open(job, fence(6)) == Stale(7)
        assert isinstance(await store.open(job, fence(8)), Opened)


async def test_store_time_goes_on_after_a_reboot_and_never_back(machine: Machine) -> None:
    seen: list[float] = []
    for _ in range(3):
        async with machine.engine() as engine:
            store = SqliteStore(engine)
            for step in range(4):
                await unordered(store, f"{len(seen)}")
                seen.append(await store_time(engine))
                machine.clock.advance(0.3 + step)
        machine.reboot()
    assert seen == sorted(seen)
    assert len(set(seen)) == len(seen)
    # And it does not leap either: what was off does not count.
    assert seen[-1] - seen[0] < 3 * (4 * 0.3 + 6) + 3 * TICK_SECONDS + 1


async def test_delays_go_on_after_a_reboot(machine: Machine) -> None:
    queue = Partition("t", 0)
    async with machine.engine() as engine:
        broker = SqliteBroker(engine)
        await broker.declare("t", 1)
        await broker.publish([(queue, envelope("a"))])
        async with broker.consume(queue, "me") as consumer:
            (delivery,) = await consumer.receive(1)
            await consumer.delay(delivery, 100.0)
    machine.reboot()
    async with machine.engine() as engine:
        broker = SqliteBroker(engine)
        (depth,) = await broker.depths()
        assert (depth.ready, depth.delayed) == (1, 1)
        machine.clock.advance(101.0)
        async with broker.consume(queue, "me") as consumer:
            (delivery,) = await consumer.receive(1)
            await consumer.ack(delivery, PROOF)


async def test_a_reboot_frees_the_queue_of_a_consumer_that_was_cut_off(machine: Machine) -> None:
    queue = Partition("t", 0)
    async with machine.engine() as engine:
        broker = SqliteBroker(engine)
        await broker.declare("t", 1)
        await broker.publish([(queue, envelope("a"))])
        consuming = broker.consume(queue, "cut off")
        consumer = await consuming.__aenter__()
        assert len(await consumer.receive(1)) == 1
        # It never gets to leave.
    machine.reboot()
    async with machine.engine() as engine:
        broker = SqliteBroker(engine)
        assert (await broker.depths())[0].consumer is None
        async with broker.consume(queue, "next") as consumer:
            (delivery,) = await consumer.receive(1)
            assert delivery.redelivered


async def test_retention_goes_on_after_a_reboot(machine: Machine) -> None:
    async with machine.engine() as engine:
        store = SqliteStore(engine)
        await committed(store, await unordered(store, "a"))
        machine.clock.advance(60.0)
        await unordered(store, "b")
    machine.reboot()
    async with machine.engine() as engine:
        store = SqliteStore(engine)
        assert await store.prune(older_than=200.0, keep_at_most=100) == 0
        machine.clock.advance(150.0)
        assert await store.prune(older_than=200.0, keep_at_most=100) == 1


@pytest.mark.parametrize("jump", [-1e9, 1e9])
async def test_a_jump_of_the_wall_clock_moves_no_expiry(machine: Machine, jump: float) -> None:
    async with machine.engine() as engine:
        coordinator, store = SqliteCoordinator(engine), SqliteStore(engine)
        await claimed(coordinator, "first", ttl=10.0)
        await submitted(store, "a")
        await committed(store, await unordered(store, "done"))
        machine.clock.wall_time += jump
        (lease,) = await coordinator.leases()
        assert lease.remaining == pytest.approx(10.0)
        assert await store.outbox(older_than=1.0, limit=10) == []
        assert await store.prune(older_than=1.0, keep_at_most=100) == 0
        machine.clock.advance(11.0)
        assert await coordinator.leases() == []
        assert len(await store.outbox(older_than=1.0, limit=10)) == 1
        assert await store.prune(older_than=1.0, keep_at_most=100) == 1


def test_this_machine_tells_one_boot_from_another() -> None:
    assert boot_id() == boot_id()
    assert len(boot_id()) >= 16


async def test_two_processes_of_one_machine_agree_on_the_time(tmp_path: Path) -> None:
    path = str(tmp_path / "jobkit.db")
    async with open_engine(path, SystemClock()) as one, open_engine(path, SystemClock()) as other:
        first, second, third = await store_time(one), await store_time(other), await store_time(one)
    assert first <= second <= third < first + 5
