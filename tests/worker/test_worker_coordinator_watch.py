"""Whole workers in virtual time, one of which goes by another coordinator than the rest."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace

from jobkit.errors import ConfigurationError
from tests.faults.doubles import Faults
from tests.steps import Step, step
from tests.virtual_site import Site, in_virtual_time, memory_in_virtual_time, open_site


async def _another_coordinator(site: Site, stack: AsyncExitStack) -> None:
    """Let the workers that start from now on go by a coordinator of their own."""
    other = await stack.enter_async_context(memory_in_virtual_time(site.clock))
    site.planes = replace(site.planes, coordinator=other.coordinator)


@in_virtual_time
async def test_a_worker_refuses_to_start_beside_workers_on_another_coordinator() -> None:
    async with open_site(step) as site, AsyncExitStack() as stack:
        site.start("incumbent")
        job = await site.client.submit("step", Step())
        await site.ended(job.id)
        await _another_coordinator(site, stack)
        newcomer = site.start("newcomer")
        began = site.clock.now()
        await newcomer.ended.wait()
        assert site.clock.now() - began < 3 * site.settings.lease_ttl
        error, newcomer.error = newcomer.error, None
        assert isinstance(error, ConfigurationError)
        assert "JOBKIT_COORDINATOR_URL" in str(error)
        # It never got as far as to take anything from the others.
        assert site.witness.count("jobkit.stale_writes") == 0
        assert site.workers[0].worker.ready()["one_coordinator"]


@in_virtual_time
async def test_a_coordinator_that_was_lost_and_made_anew_needs_nobodys_help() -> None:
    """Those that run go over to the new one at once; one that starts then waits until the lost one is out of use."""
    async with open_site(step) as site, AsyncExitStack() as stack:
        first = site.start("first", faults=Faults(site.clock))
        job = await site.client.submit("step", Step())
        await site.ended(job.id)
        await first.crash()
        await _another_coordinator(site, stack)
        site.start("second")
        record = await site.ended((await site.client.submit("step", Step(number=2))).id)
        assert (record.state, record.owner) == ("committed", "second")
        assert site.witness.count("jobkit.coordinators.differ") == 0


@in_virtual_time
async def test_workers_that_run_on_two_coordinators_say_so() -> None:
    """A setting that went wrong at a restart of some, or a coordinator that has split."""
    async with open_site(step) as site:
        worker = site.start("one").worker
        job = await site.client.submit("step", Step())
        await site.ended(job.id)
        for _ in range(40):
            await site.planes.store.note_coordinator("another")
            await site.clock.sleep(3)
        assert not worker.ready()["one_coordinator"]
        assert 1 <= site.witness.count("jobkit.coordinators.differ") <= 2
        await site.clock.sleep(2 * site.settings.lease_ttl)
        assert worker.ready()["one_coordinator"]
