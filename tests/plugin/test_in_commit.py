"""Users' own statements in the commit, as far as it does not depend on the database: staging, failing, refusing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest

from jobkit import Context, Reject, Retry, RetryPolicy, processor
from jobkit.client import Client
from jobkit.errors import JobConflict, LeaseLost, NotTransactional, ParticipantFailed, Unavailable
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.plugin.processor import Processor
from jobkit.plugin.registry import Registry
from jobkit.ports.store import Committed, Duplicate, Effects, NewJob, Refused, Store, SubmitAnswer
from jobkit.ports.transactions import Participant, TransactionalStore
from jobkit.runner.outcome import Outbid
from jobkit.testing import run_job
from jobkit.testing.virtual_time import VirtualClock
from tests.faults.doubles import before, lost_reply, lost_request
from tests.runner.pipeline_bench import Bench, receipt_of
from tests.steps import Step, step
from tests.virtual_site import in_virtual_time, memory_in_virtual_time, open_site, settings_of


class Lending:
    """A store whose transactions others can join: their connection is a list, of which they see a copy till the end."""

    def __init__(self, store: Store) -> None:
        self.table: list[str] = []
        self.submitted: list[object] = []
        self._store = store

    async def commit_with(
        self, envelope: Envelope, fence: Fence, effects: Effects, participants: Sequence[Participant]
    ) -> Committed | Duplicate | Refused:
        connection = list(self.table)
        try:
            for participant in participants:
                await participant(connection)
        except Exception as error:
            raise ParticipantFailed(error) from error
        answer = await self._store.commit(envelope, fence, effects)
        if isinstance(answer, Committed):
            self.table = connection
        return answer

    async def submit_in(self, connection: Any, jobs: Sequence[NewJob]) -> Sequence[SubmitAnswer]:
        self.submitted.append(connection)
        return await self._store.submit(jobs)


@asynccontextmanager
async def lending_bench(*processors: Processor[Any, Any]) -> AsyncIterator[tuple[Bench, Lending]]:
    clock = VirtualClock()
    async with memory_in_virtual_time(clock) as planes, anyio.create_task_group() as tasks:
        lending = Lending(planes.store)
        transactions: TransactionalStore = lending
        bench = Bench(replace(planes, transactions=transactions), clock, Registry(processors))
        tasks.start_soon(bench.keeper.run)
        yield bench, lending
        assert await bench.planes.coordinator.leases() == []
        tasks.cancel_scope.cancel()


@in_virtual_time
async def test_what_was_staged_is_written_with_the_commit_and_in_the_order_of_staging() -> None:
    @processor("orders", key=lambda job: job.on)
    async def orders(job: Step, ctx: Context) -> None:
        ctx.record("r", 1)

        @ctx.in_commit
        async def first(connection: list[str]) -> None:
            connection.append("first")

        async def second(connection: list[str]) -> None:
            connection.append("second")

        assert ctx.in_commit(second) is second
        assert lending.table == []

    async with lending_bench(orders) as (bench, lending):
        job = await bench.job("orders")
        assert receipt_of(await bench.run(job)) == "committed"
        assert lending.table == ["first", "second"]
        assert await bench.planes.store.record("orders", "k", "r") == b"1"
        assert bench.faults.calls["store.commit"] == 0


@in_virtual_time
async def test_what_a_failed_attempt_had_staged_is_forgotten() -> None:
    @processor("orders", key=lambda job: job.on, ordered=True)
    async def orders(job: Step, ctx: Context) -> None:
        @ctx.in_commit
        async def note(connection: list[str]) -> None:
            connection.append(f"attempt {ctx.job.attempt}")

        if ctx.job.attempt == 1:
            raise Retry("again")

    async with lending_bench(orders) as (bench, lending):
        assert receipt_of(await bench.run(await bench.job("orders"))) == "committed"
        assert lending.table == ["attempt 2"]


@in_virtual_time
async def test_a_participant_that_raises_is_a_failed_attempt_under_the_retry_policy() -> None:
    @processor("orders", key=lambda job: job.on, ordered=True, retry=RetryPolicy(initial=timedelta(seconds=8)))
    async def orders(job: Step, ctx: Context) -> None:
        ctx.append("ran", {"attempt": ctx.job.attempt})

        @ctx.in_commit
        async def pay(connection: list[str]) -> None:
            connection.append("paid")
            if ctx.job.attempt < 3:
                raise KeyError("no account")

    async with lending_bench(orders) as (bench, lending):
        job = await bench.job("orders")
        started = bench.clock.now()
        assert receipt_of(await bench.run(job)) == "committed"
        assert bench.clock.now() - started > 10
        assert lending.table == ["paid"]
        (entry,) = await bench.planes.inspection.log("orders", "k")
        assert entry.data == b'{"attempt":3}'
        record = await bench.planes.inspection.job(job.envelope.id)
        assert record is not None
        assert [failure.error for failure in record.failures] == ["KeyError: 'no account'"] * 2
        assert "in pay" in record.failures[0].traceback


@pytest.mark.parametrize(
    ("error", "reason"), [(Reject("no such account"), "rejected: no such account"), (ValueError("x"), "ValueError")]
)
@in_virtual_time
async def test_a_participants_error_can_end_the_job_in_the_dead_letters(error: Exception, reason: str) -> None:
    @processor("orders", key=lambda job: job.on, retry=RetryPolicy(max_attempts=1))
    async def orders(job: Step, ctx: Context) -> None:
        @ctx.in_commit
        async def pay(connection: list[str]) -> None:
            raise error

    async with lending_bench(orders) as (bench, lending):
        assert receipt_of(await bench.run(await bench.job("orders"))) == "dead"
        (letter,) = await bench.planes.inspection.dead()
        assert letter.reason.startswith(reason)
        assert lending.table == []


@in_virtual_time
async def test_a_participants_trouble_with_a_backend_or_its_lease_costs_no_attempt() -> None:
    errors: list[Exception] = [Unavailable("broker", "away"), LeaseLost("gone")]

    @processor("orders", key=lambda job: job.on)
    async def orders(job: Step, ctx: Context) -> None:
        @ctx.in_commit
        async def pay(connection: list[str]) -> None:
            if errors:
                raise errors.pop(0)

    async with lending_bench(orders) as (bench, _):
        job = await bench.job("orders")
        with pytest.raises(Unavailable, match="away"):
            await bench.run(job)
        assert isinstance(await bench.run(job), Outbid)
        assert receipt_of(await bench.run(job)) == "committed"
        record = await bench.planes.inspection.job(job.envelope.id)
        assert record is not None
        assert record.failures == ()


@in_virtual_time
async def test_a_commit_in_doubt_is_asked_again_with_its_participants() -> None:
    """single-effect: the store tells whether the first one had come through, and then they are not called."""

    @processor("orders", key=lambda job: job.on)
    async def orders(job: Step, ctx: Context) -> None:
        @ctx.in_commit
        async def note(connection: list[str]) -> None:
            connection.append("x")

    async with lending_bench(orders) as (bench, lending):
        bench.faults.once("store.commit_with", lost_request, lost_request)
        assert receipt_of(await bench.run(await bench.job("orders"))) == "committed"
        assert lending.table == ["x"]
        bench.faults.once("store.commit_with", lost_reply)
        assert receipt_of(await bench.run(await bench.job("orders", Step(number=2)))) == "committed"
        assert bench.faults.calls["store.commit_with"] == 5


@in_virtual_time
async def test_who_was_overtaken_writes_nothing_of_its_own_either() -> None:
    """fencing."""

    @processor("loose", key=lambda job: job.on)
    async def orders(job: Step, ctx: Context) -> None:
        @ctx.in_commit
        async def note(connection: list[str]) -> None:
            connection.append("x")

    async with lending_bench(orders) as (bench, lending):
        job = await bench.job("loose")
        bench.faults.once("store.commit_with", before(bench.usurp))
        assert isinstance(await bench.run(job), Outbid)
        assert lending.table == []
        assert bench.witness.count("jobkit.stale_writes", {"doing": "commit"}) == 1


# ---- stores that share no transactions -------------------------------------------------------------------------------


@in_virtual_time
async def test_a_store_that_shares_no_transactions_is_named_when_it_is_asked_to() -> None:
    @processor("orders", key=lambda job: job.on, retry=RetryPolicy(max_attempts=1))
    async def orders(job: Step, ctx: Context) -> None:
        @ctx.in_commit
        async def pay(connection: object) -> None:
            raise AssertionError

    async with open_site(orders) as site:
        site.start()
        submission = await site.client.submit("orders", Step())
        record = await site.ended(submission.id)
        assert record.state == "dead"
        assert record.failures[0].error.startswith("NotTransactional: ctx.in_commit")
        assert "JOBKIT_STORE_URL=postgresql://" in record.failures[0].error


@in_virtual_time
async def test_submitting_in_a_transaction_that_the_store_does_not_share_is_refused() -> None:
    async with open_site(step) as site:
        with pytest.raises(NotTransactional, match="JOBKIT_STORE_URL=postgresql://"):
            await site.client.submit("step", Step(), connection=object())
        assert await site.planes.inspection.jobs() == []


@in_virtual_time
async def test_a_job_submitted_in_a_transaction_is_left_to_a_relay() -> None:
    async with memory_in_virtual_time(VirtualClock()) as planes:
        lending = Lending(planes.store)
        client = Client(replace(planes, transactions=lending), Registry([step]), settings_of())
        connection = object()
        submission = await client.submit("step", Step(), id="one", connection=connection)
        assert lending.submitted == [connection]
        assert (submission.sequence, submission.known, submission.published) == (1, False, False)
        assert await planes.broker.depths() == []
        again = await client.submit("step", Step(), id="one", connection=connection)
        assert (again.sequence, again.known, again.published) == (1, True, True)
        with pytest.raises(JobConflict, match="'one'"):
            await client.submit("step", Step(number=2), id="one", connection=connection)


# ---- testing ---------------------------------------------------------------------------------------------------------


@processor("orders", key=lambda job: job.on)
async def places_order(job: Step, ctx: Context) -> None:
    @ctx.in_commit
    async def place(connection: list[int]) -> None:
        connection.append(job.number)
        if job.number < 0:
            raise ValueError("negative")


async def test_run_job_lends_its_connection() -> None:
    connection: list[int] = []
    await run_job(places_order, Step(number=7), connection=connection)
    assert connection == [7]


async def test_run_job_raises_what_a_participant_raises() -> None:
    with pytest.raises(ValueError, match="negative"):
        await run_job(places_order, Step(number=-1), connection=[])


async def test_run_job_without_a_connection_says_what_to_give_it() -> None:
    with pytest.raises(NotTransactional, match="connection="):
        await run_job(places_order, Step(number=7))
