"""A store that lost its last moments while the broker has their messages: which jobs win, and what is told."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable

import anyio

from jobkit.errors import Unavailable
from jobkit.ops.verify import verify
from jobkit.ports.inspection import JobState
from jobkit.ports.rules import SUPERSEDED
from tests.acceptance.site import Site, until
from tests.campaign.names import TYPE
from tests.campaign.plugin import Step

_KEYS, _EACH = 10, 3
_PATIENCE_SECONDS = 90.0


async def accepted(site: Site, when: str) -> set[str]:
    """Submit jobs and publish them all; return their ids."""
    jobs = [
        site.client.job(TYPE, Step(on=f"key-{key}", number=number), id=f"{when}-{key}-{number}")
        for key in range(_KEYS)
        for number in range(1, 1 + _EACH)
    ]

    async def all_published() -> bool:
        try:
            await site.client.submit_many(jobs)
            left = await site.planes.store.outbox(older_than=-1, limit=len(jobs))
            await site.client._relay.publish(left)
        except Unavailable:
            # The store was restarted: its connections are made anew.
            return False
        return not left

    await until(all_published, within=_PATIENCE_SECONDS, what="all is published")
    return {job.envelope.id for job in jobs}


async def check_newer_jobs_win(
    site: Site, copy: Callable[[], Awaitable[object]], lose: Callable[[], Awaitable[object]]
) -> None:
    """See that jobs accepted after a loss win over those lost, that these are told of, and can go behind.

    `copy` is called before the moments that `lose` takes away.
    """
    before = await accepted(site, "before")
    await copy()
    lost = await accepted(site, "lost")
    await lose()
    newer = await accepted(site, "newer")
    site.start(TYPE)

    async def all_ended() -> bool:
        counts = await site.planes.inspection.counts()
        committed = counts.jobs.get(JobState.COMMITTED, 0)
        return committed == len(before | newer) and counts.dead == len(lost)

    await until(all_ended, within=_PATIENCE_SECONDS, what="all that the store knows is committed")
    letters = await site.planes.inspection.dead(limit=1_000)
    assert {letter.id for letter in letters} == lost
    assert {letter.reason for letter in letters} == {SUPERSEDED}
    found = (await verify(site.planes)).findings
    assert {finding.where for finding in found} == {f"{TYPE}/key-{key}" for key in range(_KEYS)}
    command = [sys.executable, "-m", "jobkit", "dead", "requeue", "--all"]
    await anyio.run_process(command, env={**os.environ, **site.environment})

    async def everything() -> bool:
        counts = await site.planes.inspection.counts()
        return counts.jobs.get(JobState.COMMITTED, 0) == len(before | newer | lost)

    await until(everything, within=_PATIENCE_SECONDS, what="what was lost is done, too")
    for key in range(_KEYS):
        log = await site.planes.inspection.log(TYPE, f"key-{key}")
        assert [entry.sequence for entry in log] == list(range(1, 1 + 3 * _EACH))
        assert [entry.job_id.split("-")[0] for entry in log] == ["before"] * 3 + ["newer"] * 3 + ["lost"] * 3
    assert (await verify(site.planes)).findings == []
