"""The benchmark: fill the queues, let worker processes drain them, then watch latency at a steady rate.

Everything goes the whole way with full safety: sequence, outbox, confirm, lease, fence, verified durable commit, ack.
Times of day are compared only within this machine, except for the commit's, which is by the store's clock.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
from pydantic import SecretStr

from jobkit.client import Client
from jobkit.errors import WaitTimeout
from jobkit.lab.bench.noop import TIMED_TYPE, TYPE, Noop
from jobkit.lab.bench.processes import BenchFailed, Workers, running_workers
from jobkit.lab.bench.report import (
    Account,
    BenchPlan,
    BenchReport,
    Ceilings,
    Drain,
    HotKey,
    Latency,
    MemoryPoint,
    Renewal,
    Round,
)
from jobkit.model.clock import Clock
from jobkit.model.ids import new_nonce, new_owner
from jobkit.ports.coordinator import Granted, LeaseRef
from jobkit.ports.inspection import JobRecord, JobState
from jobkit.ports.planes import Planes
from jobkit.settings import Settings

_BATCH = 500
_POLL_SECONDS = 0.2
# A benchmark that makes no progress for so long has failed.
_STALL_SECONDS = 60.0
_LEASE_SECONDS = 30.0

MeasureCeilings = Callable[[int], Awaitable[Ceilings | None]]


@dataclass(frozen=True, slots=True)
class Bench:
    """What a benchmark works with; `environment` is what its worker processes are started with."""

    planes: Planes
    client: Client
    settings: Settings
    clock: Clock
    environment: dict[str, str]
    ceilings: MeasureCeilings
    tell: Callable[[str], None]

    async def run(self, plan: BenchPlan) -> BenchReport:
        """Measure everything. Raises `BenchFailed`."""
        await self._refuse_leftovers()
        rounds = [await self._round(plan) for _ in range(plan.rounds)]
        self.tell(f"submitting {plan.rate:g} jobs/s for {plan.seconds:g} s")
        async with running_workers(TIMED_TYPE, 1, self.environment):
            await self._until_working(1, TIMED_TYPE)
            records = await self._steady(plan)
        renewal = await self._renew(plan.leases)
        hot_key = await self._hot_key(plan) if plan.latency else None
        return BenchReport(
            broker=_kind(self.settings.broker_url),
            coordinator=_kind(self.settings.coordinator_url),
            store=_kind(self.settings.store_url),
            rounds=rounds,
            start=Latency.of([(json.loads(record.result or b"0") - record.submitted_at) * 1000 for record in records]),
            commit=Latency.of([((record.finished_at or 0) - record.submitted_at) * 1000 for record in records]),
            renewal=renewal,
            hot_key=hot_key,
        )

    async def _hot_key(self, plan: BenchPlan) -> HotKey:
        # Proxies need packages that a benchmark without them does not.
        from jobkit.lab.bench.hot_key import measure_hot_key

        self.tell(f"draining one key at round trips of {plan.latency:g} ms")
        return await measure_hot_key(self.client, self.environment, self._ended, plan.latency)

    async def _refuse_leftovers(self) -> None:
        depths = await self.planes.broker.depths()
        left = sum(depth.ready for depth in depths if depth.partition.type in (TYPE, TIMED_TYPE))
        if left:
            raise BenchFailed(
                f"{left} jobs of an earlier benchmark wait there: run `jobkit worker {TYPE} {TIMED_TYPE}` with "
                "JOBKIT_PLUGINS=jobkit.lab.bench.noop until they are done"
            )

    async def _round(self, plan: BenchPlan) -> Round:
        publish_rates, drains = [], []
        for workers in plan.workers:
            before = await self._committed()
            self.tell(f"publishing {plan.jobs} jobs")
            started = self.clock.now()
            await self._publish(plan)
            publish_rates.append(plan.jobs / (self.clock.now() - started))
            self.tell(f"draining them with {workers} worker process{'es' if workers > 1 else ''}")
            drains.append(await self._drain(plan, workers, before))
        ceilings = await self.ceilings(plan.jobs)
        return Round(sum(publish_rates) / len(publish_rates), drains, ceilings)

    async def _publish(self, plan: BenchPlan) -> None:
        for start in range(0, plan.jobs, _BATCH):
            numbers = range(start, min(start + _BATCH, plan.jobs))
            jobs = [self.client.job(TYPE, Noop(on=f"key-{number % plan.keys}")) for number in numbers]
            submissions = await self.client.submit_many(jobs)
            if not all(submission.published for submission in submissions):
                raise BenchFailed("the broker did not take jobs; the reason is above")

    async def _drain(self, plan: BenchPlan, workers: int, before: int) -> Drain:
        async with running_workers(TYPE, workers, self.environment) as running:
            memory, rate, seconds = await self._watch(plan.jobs, running, workers, before)
            # One that is told to end before it listens says nothing of what it has used.
            await self._until_there(workers, TYPE)
        return Drain(workers, plan.jobs, rate, seconds, Account.total(running.accounts), memory)

    async def _watch(
        self, jobs: int, running: Workers, workers: int, before: int
    ) -> tuple[list[MemoryPoint], float, float]:
        """Watch until all is committed; return memory over time, the rate, and for how long that was measured."""
        memory: list[MemoryPoint] = []
        began: tuple[float, int] | None = None
        last_progress, committed = self.clock.now(), 0
        while committed < jobs:
            await self.clock.sleep(_POLL_SECONDS)
            bytes = running.memory()
            now, known = self.clock.now(), committed
            committed = await self._committed() - before
            if committed > known:
                last_progress = now
                memory.append(MemoryPoint(committed, bytes))
                if began is None and await self._members(TYPE) >= workers:
                    began = (now, committed)
            elif now - last_progress > _STALL_SECONDS:
                raise BenchFailed(f"no job committed for {_STALL_SECONDS:g} s; {committed} of {jobs} had")
        if began is None or began[1] == committed:
            # So few that they were done before all workers were there.
            return memory, committed / _POLL_SECONDS, _POLL_SECONDS
        seconds = last_progress - began[0]
        return memory, (committed - began[1]) / seconds, seconds

    async def _committed(self) -> int:
        return (await self.planes.inspection.counts()).jobs.get(JobState.COMMITTED, 0)

    async def _members(self, type: str) -> int:
        return sum(type in member.types for member in await self.planes.coordinator.members())

    async def _until_there(self, workers: int, type: str) -> None:
        deadline = self.clock.now() + _STALL_SECONDS
        while await self._members(type) < workers:
            if self.clock.now() > deadline:
                raise BenchFailed(f"no worker began within {_STALL_SECONDS:g} s; its messages are above")
            await self.clock.sleep(_POLL_SECONDS)

    async def _until_working(self, workers: int, type: str) -> None:
        """Wait until the workers are there, and one job went the whole way through each partition."""
        await self._until_there(workers, type)
        warm = [self.client.job(type, Noop(on=f"warm-{number}")) for number in range(10 * self.settings.partitions)]
        for submission in await self.client.submit_many(warm):
            await self._ended(submission.id)

    async def _steady(self, plan: BenchPlan) -> list[JobRecord]:
        """Submit at an even rate, then return the jobs' records."""
        ids: list[str] = []
        began = self.clock.now()
        count = max(2, int(plan.rate * plan.seconds))

        async def submit(number: int) -> None:
            submission = await self.client.submit(TIMED_TYPE, Noop(on=f"steady-{number}"))
            ids.append(submission.id)

        async with anyio.create_task_group() as submits:
            for number in range(count):
                await self.clock.sleep(max(0.0, began + number / plan.rate - self.clock.now()))
                submits.start_soon(submit, number)
        return [await self._ended(id) for id in ids]

    async def _ended(self, id: str) -> JobRecord:
        try:
            last = [record async for record in self.client.watch(id, timeout=_STALL_SECONDS)][-1]
        except WaitTimeout as error:
            raise BenchFailed(str(error)) from error
        if last.state is not JobState.COMMITTED:
            raise BenchFailed(f"job {id} is {last.state}")
        return last

    async def _renew(self, count: int) -> Renewal:
        """Hold so many leases and renew them once, as a worker's keeper does."""
        self.tell(f"renewing {count} leases")
        coordinator = self.planes.coordinator
        owner = new_owner()
        held: list[LeaseRef] = []

        async def claim(number: int) -> None:
            resource, nonce = f"bench/{owner}/{number}", new_nonce()
            answer = await coordinator.claim(resource, owner=owner, nonce=nonce, ttl=_LEASE_SECONDS)
            if isinstance(answer, Granted):
                held.append(LeaseRef(resource, answer.token, nonce))

        async with anyio.create_task_group() as claims:
            for number in range(count):
                claims.start_soon(claim, number)
        before, started = round_trips(coordinator), self.clock.now()
        kept = await coordinator.renew(held, ttl=_LEASE_SECONDS)
        milliseconds = (self.clock.now() - started) * 1000
        after = round_trips(coordinator)
        async with anyio.create_task_group() as releases:
            for ref in held:
                releases.start_soon(coordinator.release, ref)
        if len(kept) < count:
            raise BenchFailed(f"only {len(kept)} of {count} leases could be renewed")
        return Renewal(count, None if before is None or after is None else after - before, milliseconds)


def round_trips(backend: object) -> int | None:
    """Return how many requests a backend has sent to its server, or None where it has none or does not count."""
    found = getattr(backend, "round_trips", None)
    return found if isinstance(found, int) else None


def _kind(url: SecretStr) -> str:
    scheme = url.get_secret_value().partition(":")[0]
    return {"postgres": "postgresql", "amqp": "rabbitmq", "amqps": "rabbitmq"}.get(scheme, scheme)
