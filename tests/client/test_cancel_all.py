"""Cancelling all of a type that are in a state: in which one a job is, the store says as it cancels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from jobkit.client import Client
from jobkit.plugin.registry import Registry
from jobkit.ports.inspection import Inspection, JobState
from jobkit.testing.conformance.values import opened
from tests.steps import Step, loose
from tests.virtual_site import Site, in_virtual_time, open_site


class FoundTooEarly:
    """An inspection whose pages are old: a job begins before the caller hears that it waits."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def __getattr__(self, name: str) -> Any:
        return getattr(self._site.planes.inspection, name)

    async def unfinished(self, type: str, state: JobState, **more: Any) -> tuple[Sequence[str], int | None]:
        ids, below = await self._site.planes.inspection.unfinished(type, state, **more)
        for id in set(ids) & {"begins"}:
            job = await self._site.planes.inspection.envelope(id)
            assert job is not None
            await opened(self._site.planes.store, job)  # type: ignore[arg-type]
        return ids, below


@in_virtual_time
async def test_a_job_that_begins_meanwhile_is_not_cancelled_as_one_that_is_queued() -> None:
    async with open_site(loose) as site:
        planes = replace(site.planes, inspection=cast(Inspection, FoundTooEarly(site)))
        client = Client(planes, Registry([loose]), site.settings, site.clock)
        await client.submit("loose", Step(), id="begins")
        await client.submit("loose", Step(), id="waits")
        assert await client.cancel_all("loose", states=[JobState.QUEUED]) == 1
        assert (await client.status("begins")).state is JobState.RUNNING
        assert (await client.status("waits")).state is JobState.CANCELLED
        assert await client.cancel_all("loose") == 1
