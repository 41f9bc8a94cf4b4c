"""A pipeline with all that it needs, on memory planes in virtual time, and no worker around it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from jobkit.client.layouts import Layouts
from jobkit.client.outbox_sweeper import Sweeper
from jobkit.client.relay import Relay
from jobkit.leases import Keeper, LeaseTerms
from jobkit.model.concurrency import Concurrency
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.plugin.processor import Processor
from jobkit.plugin.registry import Registry
from jobkit.ports.planes import Planes
from jobkit.ports.store import Opened
from jobkit.runner.attempt import Attempts
from jobkit.runner.cancellations import Cancellations
from jobkit.runner.decode import Job, decode
from jobkit.runner.outcome import PipelineOutcome, Settled
from jobkit.runner.pipeline import Pipeline
from jobkit.runner.type_slots import TypeSlots
from jobkit.testing.virtual_time import VirtualClock
from jobkit.worker.queue_rebuild_check import Coverage
from jobkit.worker.unpublishable import Rejections
from tests.faults.doubles import Faults, faulty_planes
from tests.steps import Step, loose, step
from tests.virtual_site import memory_in_virtual_time
from tests.witness import Witness

SOMEBODY = "somebody"


class Bench:
    """A pipeline and all it needs."""

    def __init__(self, planes: Planes, clock: VirtualClock, registry: Registry, **terms: Any) -> None:
        self.planes = planes
        self.clock = clock
        self.registry = registry
        self.faults = Faults(clock)
        self.witness = Witness()
        self.working: list[bool] = []
        self.slots = TypeSlots(Concurrency(terms.pop("slots", 1)), clock)
        seen = faulty_planes(planes, self.faults)
        telemetry = self.witness.telemetry
        self.keeper = Keeper(
            seen.coordinator,
            owner="me",
            terms=LeaseTerms(15, 1, 0.01),
            clock=clock,
            rng=random.Random(1),
            telemetry=telemetry,
        )
        self.sweeper = Sweeper(
            Relay(seen.store, seen.broker, layouts=Layouts(seen.store, 1, clock), clock=clock, telemetry=telemetry),
            seen.store,
            seen.broker,
            grace=2,
            sweeps=lambda _: True,
            bury=Rejections(seen.store, self.keeper, telemetry).bury,
            covered=Coverage(seen.store, seen.inspection, Layouts(seen.store, 1, clock)).complete,
            clock=clock,
            telemetry=telemetry,
        )
        self.cancellations = Cancellations(seen.store, clock, telemetry)
        self.pipeline = Pipeline(
            seen,
            self.keeper,
            Attempts(seen, clock, telemetry, {}, registry),
            self.sweeper,
            self.slots,
            self.cancellations,
            **{
                "claim_wait": 60,
                "max_opens": 5,
                "clock": clock,
                "rng": random.Random(1),
                "telemetry": telemetry,
                **terms,
            },
        )

    async def job(self, type: str, payload: Step | None = None, **fields: Any) -> Job:
        """Submit a job and return it decoded."""
        new = self.registry.new_job(type, payload or Step(), **fields)
        (answer,) = await self.planes.store.submit([new])
        return self.decoded(answer.envelope)  # type: ignore[union-attr]

    def decoded(self, envelope: Envelope) -> Job:
        job = decode(b"", envelope, "", self.registry, max_bytes=10_000)
        assert isinstance(job, Job)
        return job

    async def run(self, job: Job) -> PipelineOutcome:
        return await self.pipeline.run(job, self.working.append)

    async def state(self, job: Job) -> str:
        record = await self.planes.inspection.job(job.envelope.id)
        assert record is not None
        return record.state.value

    async def hold(self, resource: str, seconds: float) -> None:
        """Let somebody else hold a lease for so long."""
        await self.planes.coordinator.claim(resource, owner=SOMEBODY, nonce="n", ttl=seconds)

    async def usurp(self, token: int = 100) -> None:
        """Let somebody with a higher token open the key, as happens when the coordinator forgot who holds it."""
        other = self.registry.new_job("loose", Step(number=99), id=f"other-{token}").envelope
        assert isinstance(await self.planes.store.open(other, Fence(token, "n", SOMEBODY)), Opened)


@asynccontextmanager
async def open_bench(*processors: Processor[Any, Any], **terms: Any) -> AsyncIterator[Bench]:
    clock = VirtualClock()
    async with memory_in_virtual_time(clock) as planes, anyio.create_task_group() as tasks:
        bench = Bench(planes, clock, Registry(processors or (step, loose)), **terms)
        tasks.start_soon(bench.keeper.run)
        yield bench
        assert await bench.planes.coordinator.leases() == [], "a lease was left behind"
        tasks.cancel_scope.cancel()


def receipt_of(outcome: PipelineOutcome) -> str:
    assert isinstance(outcome, Settled), outcome
    return outcome.receipt.kind
