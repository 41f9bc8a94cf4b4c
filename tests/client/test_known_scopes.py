"""Types that nobody knows are not steered by mistake, and those that are to come are if that is said."""

from __future__ import annotations

import pytest

from jobkit.errors import ConfigurationError, UnknownType
from jobkit.model.pause import Scope
from jobkit.ports.inspection import JobState
from jobkit.ports.store import NewJob
from jobkit.testing.conformance.values import envelope
from tests.steps import loose
from tests.virtual_site import in_virtual_time, open_site


@in_virtual_time
async def test_a_type_that_nobody_knows_is_paused_only_if_it_is_said_to_be_unseen() -> None:
    async with open_site(loose) as site:
        with pytest.raises(UnknownType, match="did you mean 'loose'"):
            await site.client.pause("lose")
        with pytest.raises(UnknownType, match="did you mean 'loose'"):
            await site.client.cancel_all("lose")
        assert list(await site.client.pauses()) == []
        await site.client.pause("lose", unseen=True)
        assert [pause.scope for pause in await site.client.pauses()] == [Scope("lose")]
        assert await site.client.cancel_all("loose") == 0
        # A program means the keys that it names, also before their first jobs.
        await site.client.pause("loose", key="k")
        with pytest.raises(ConfigurationError, match="no partition 64"):
            await site.client.pause("loose", partition=64)


@in_virtual_time
async def test_a_type_is_known_as_long_as_there_are_jobs_of_it() -> None:
    async with open_site(loose) as site:
        await site.planes.store.submit([NewJob(envelope("foreign", key="k", type="theirs"), ordered=False)])
        await site.client.pause("theirs")
        assert await site.client.cancel_all("theirs", states=[JobState.RUNNING]) == 0
