"""The campaign can fail: with a protection taken away, it says so, and names the invariant."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.campaign import campaign
from tests.campaign.campaign import run_campaign
from tests.campaign.cluster import Cluster, open_cluster
from tests.campaign.names import EARLY_ACKS_VARIABLE, FORGETFUL_VARIABLE
from tests.campaign.schedule import SLICE, Fault, Schedule
from tests.lab.servers.postgres import TestServer

# Whether a fault meets what the missing protection was for is a matter of chance, and of how fast the machine is.
pytestmark = pytest.mark.skipif("CAMPAIGN" not in os.environ, reason="`make campaign` runs it")

# Small, soon over, and given up soon: nobody looks for what is lost, so it does not come.
_UNLOOKED = tuple({**dict(SLICE.settings), "REPUBLISH_SECONDS": "600"}.items())
_SMALL = replace(
    SLICE,
    workers=2,
    jobs=400,
    keys=40,
    bound=4.0,
    together=0,
    long_jobs=0.0,
    errands=0,
    trees=0,
    films=0,
    settings=_UNLOOKED,
)

_FORGET_WHAT_IS_FINISHED = """
    UPDATE jobkit.keys k SET committed = j.sequence - 1
    FROM jobkit.jobs j WHERE j.id = ANY (in_ids) AND j.state = 'committed' AND k.type = j.type AND k.key = j.key;
    UPDATE jobkit.jobs SET state = 'queued', result = NULL, ended = NULL
    WHERE id = ANY (in_ids) AND state = 'committed';
"""


def _schedule(*faults: Fault) -> Schedule:
    return Schedule(1, _SMALL, (), faults)


@pytest.mark.slow
async def test_workers_that_ack_before_they_commit_are_found_out(tmp_path: Path) -> None:
    """nothing-lost: what a killed worker had begun is gone."""
    kills = [Fault("kill the worker", number % 2, at=0.6 + 0.6 * number) for number in range(8)]
    outcome = await run_campaign(tmp_path, "redis", _schedule(*kills), extra={EARLY_ACKS_VARIABLE: "1"})
    assert "nothing-lost" in {found.invariant for found in outcome.wrong}, outcome.report()


@pytest.mark.slow
async def test_workers_that_look_for_no_kept_work_are_found_out(tmp_path: Path) -> None:
    """kept: whoever goes on with a killed worker's piece begins anew."""
    schedule = replace(_schedule(*(Fault("kill the worker", number % 2, at=1.0 + number) for number in range(8))))
    schedule = replace(schedule, scale=replace(_SMALL, jobs=10, keys=1, trees=30, bound=60.0))
    outcome = await run_campaign(tmp_path, "redis", schedule, extra={FORGETFUL_VARIABLE: "1"})
    assert "kept" in {found.invariant for found in outcome.wrong}, outcome.report()


@pytest.mark.slow
async def test_a_store_that_forgets_what_is_finished_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """single-effect: what was committed and not yet acked is delivered again."""

    @asynccontextmanager
    async def open_forgetful(*args: object, **options: object) -> AsyncIterator[Cluster]:
        async with open_cluster(*args, **options) as cluster:  # type: ignore[arg-type]  # passed on as they come
            store = cluster.servers.store
            assert isinstance(store, TestServer)
            await store.execute(
                await _forgetful_open(store, cluster.servers.database), database=cluster.servers.database
            )
            yield cluster

    monkeypatch.setattr(campaign, "open_cluster", open_forgetful)
    # Acks follow their commits by up to 0.1 s, so each of these has a fair chance to meet some.
    resets = [Fault("reset the connections", number % 2, "broker", at=0.5 + 0.3 * number) for number in range(20)]
    outcome = await run_campaign(tmp_path, "postgres", _schedule(*resets))
    assert "single-effect" in {found.invariant for found in outcome.wrong}, outcome.report()


async def _forgetful_open(store: TestServer, database: str) -> str:
    import asyncpg

    connection = await asyncpg.connect(store.url(database))
    try:
        text = str(await connection.fetchval("SELECT pg_get_functiondef('jobkit.open_jobs'::regproc)"))
    finally:
        await connection.close()
    assert text.count("\nBEGIN\n") == 1
    return text.replace("\nBEGIN\n", f"\nBEGIN\n{_FORGET_WHAT_IS_FINISHED}")
