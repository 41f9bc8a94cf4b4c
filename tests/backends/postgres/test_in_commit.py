"""A plugin that changes tables of its user's in the commit, and a client that submits in its user's transactions."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from jobkit.backends.registry import open_planes
from jobkit.client import Client
from jobkit.errors import ConfigurationError, JobConflict, Unavailable
from jobkit.plugin.registry import Registry
from jobkit.settings import Settings
from tests.backends.children import ROOT, environment
from tests.backends.postgres.orders_plugin import TABLE, Order, order
from tests.lab.servers.postgres import TestServer

PATIENCE_SECONDS = 60.0

# In one snapshot: jobs that are committed without their order, orders without a committed job, and double ones.
CONTRADICTIONS = """
    SELECT count(*) FROM (SELECT id FROM jobkit.jobs WHERE state = 'committed') j
    FULL JOIN (SELECT job, count(*) AS times FROM orders GROUP BY job) o ON o.job = j.id
    WHERE j.id IS NULL OR o.job IS NULL OR o.times <> 1
"""


class Shop:
    """A database with tables of the user's beside jobkit's; all else is embedded."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        embedded = f"sqlite:///{directory}/jobkit.db"
        self.variables = {
            "JOBKIT_STORE_URL": url,
            "JOBKIT_BROKER_URL": embedded,
            "JOBKIT_COORDINATOR_URL": embedded,
            "JOBKIT_BLOBS_URL": f"file:{directory}/blobs",
            "JOBKIT_PLUGINS": "tests.backends.postgres.orders_plugin",
            "JOBKIT_LEASE_TTL": "2",
            "JOBKIT_LEASE_GUARD": "0.5",
            "JOBKIT_RELAY_GRACE": "0.1",
        }
        self._log = directory / "worker.log"

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        urls = {f"{plane}_url": self.variables[f"JOBKIT_{plane.upper()}_URL"] for plane in PLANES}
        settings = Settings.model_validate({"relay_grace": 0.1, **urls})
        async with open_planes(settings) as planes:
            yield Client(planes, Registry([order]), settings)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(self.url)
        try:
            yield connection
        finally:
            await connection.close()

    async def ask(self, question: str) -> Any:
        async with self.connected() as connection:
            return await connection.fetchval(question)

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "jobkit", "worker", "order"],
                cwd=ROOT,
                env={**environment(), **self.variables},
                stderr=log,
            )
            try:
                yield process
            finally:
                process.kill()
                process.wait()

    async def until(self, question: str) -> None:
        """Wait until the answer is true."""
        async with asyncio.timeout(PATIENCE_SECONDS), self.connected() as connection:
            while not await connection.fetchval(question):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


PLANES = ("broker", "coordinator", "store", "blobs")


@pytest.fixture
async def shop(server: TestServer, own_database: str, tmp_path: Path) -> Shop:
    await server.execute(TABLE, database=own_database)
    return Shop(server.url(own_database), tmp_path)


async def test_workers_killed_at_any_moment_leave_each_job_and_its_order_both_or_neither(shop: Shop) -> None:
    """single-effect, for tables that are not jobkit's: SIGKILL of the worker again and again while it commits."""
    accounts, each = 20, 15
    async with shop.client() as client:
        for number in range(1, each + 1):
            jobs = [
                client.job("order", Order(account=f"a{account}", number=100 * number)) for account in range(accounts)
            ]
            await client.submit_many(jobs)
    for kill in range(1, 5):
        with shop.worker() as worker:
            await shop.until(f"SELECT count(*) >= {kill * accounts * each // 5} FROM orders")  # noqa: S608
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        assert await shop.ask(CONTRADICTIONS) == 0
    with shop.worker():
        await shop.until("SELECT count(*) = 0 FROM jobkit.jobs WHERE ended IS NULL")
    assert await shop.ask(CONTRADICTIONS) == 0
    assert await shop.ask("SELECT count(*) FROM orders") == accounts * each


async def test_a_participant_that_fails_leaves_no_order_and_a_dead_letter_that_says_why(shop: Shop) -> None:
    async with shop.client() as client:
        refused = await client.submit("order", Order(account="a", number=13))
        broken = await client.submit("order", Order(account="b", number=-1))
        with shop.worker():
            ended = {id: [job async for job in client.watch(id, timeout=60)][-1] for id in (refused.id, broken.id)}
        assert {job.state.value for job in ended.values()} == {"dead"}
        assert ended[refused.id].failures[0].error == "Reject: unlucky"
        assert ended[broken.id].failures[0].error.startswith("CheckViolationError: ")
    assert await shop.ask("SELECT count(*) FROM orders") == 0


async def test_jobs_submitted_in_transactions_are_run_if_and_only_if_those_commit(shop: Shop) -> None:
    """order: what was rolled back leaves no hole that the key would wait for."""
    kept = []
    async with shop.client() as client, shop.connected() as connection:
        for number in range(1, 21):
            transaction = connection.transaction()
            await transaction.start()
            submission = await client.submit("order", Order(account="a", number=100 * number), connection=connection)
            assert not submission.published
            if number % 3:
                await transaction.commit()
                kept.append(submission)
            else:
                await transaction.rollback()
        assert [submission.sequence for submission in kept] == list(range(1, 15))
        with shop.worker():
            await shop.until("SELECT count(*) = 14 FROM jobkit.jobs WHERE state = 'committed'")
    assert await shop.ask("SELECT count(*) FROM jobkit.jobs") == 14
    assert await shop.ask("SELECT count(*) FROM jobkit.outbox") == 0
    assert await shop.ask(CONTRADICTIONS) == 0


async def test_a_transaction_goes_on_after_a_submission_that_is_a_conflict(shop: Shop) -> None:
    async with shop.client() as client:
        await client.submit("order", Order(account="a", number=1), id="one")
        async with shop.connected() as connection, connection.transaction():
            with pytest.raises(JobConflict):
                await client.submit("order", Order(account="a", number=2), id="one", connection=connection)
            await client.submit("order", Order(account="a", number=2), id="two", connection=connection)
        assert (await client.status("two")).sequence == 2


async def test_a_connection_without_a_transaction_is_refused(shop: Shop) -> None:
    async with shop.client() as client, shop.connected() as connection:
        with pytest.raises(ConfigurationError, match="begin one"):
            await client.submit("order", Order(account="a", number=1), connection=connection)


async def test_submitters_on_a_key_that_a_long_transaction_holds_are_told_so_and_others_are_not_held_up(
    shop: Shop,
) -> None:
    """order: the next sequence of the key is not known before that transaction has ended."""
    async with shop.client() as holder, shop.client() as client, shop.connected() as connection:
        async with connection.transaction():
            await holder.submit("order", Order(account="held", number=1), id="first", connection=connection)
            waiting = asyncio.create_task(client.submit("order", Order(account="held", number=2), id="second"))
            await shop.until("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')")
            assert (await client.submit("order", Order(account="free", number=1))).sequence == 1
            assert not waiting.done()
            with pytest.raises(Unavailable, match="another transaction holds a lock"):
                await waiting
        assert (await client.submit("order", Order(account="held", number=2), id="second")).sequence == 2
