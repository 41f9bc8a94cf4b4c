"""Logs that are not kept for ever, in virtual time: what goes, what stays, and that nobody misses what went."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest

import jobkit.worker.maintenance.log_retention
from jobkit import Context, Payload, Processor, Projection, processor
from jobkit.errors import ConfigurationError
from jobkit.model.fence import Fence
from jobkit.ops.verify import verify
from jobkit.plugin.registry import Registry
from jobkit.projections.projection import ProjectionState
from jobkit.projections.rebuild import Rebuilder, RebuildOutcome, Rebuilt
from jobkit.worker.maintenance.log_retention import trim_logs_forever
from tests.projections.test_projection import Added, Sum, sum_projection
from tests.projections.test_rebuild import keeper_of, outcomes
from tests.virtual_site import Site, in_virtual_time, open_site

# Here a worker looks at its logs once in this time.
_ROUND = 16


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobkit.worker.maintenance.log_retention, "_EVERY_SECONDS", 10)


class Add(Payload):
    on: str = "k"
    amount: int = 1


def adder(retention: Any, *projections: Projection[Any]) -> Processor[Add, None]:
    @processor("add", key=lambda job: job.on, projections=projections, log_retention=retention)
    async def add(job: Add, ctx: Context) -> None:
        ctx.append("Added", Added(amount=job.amount))

    return add


async def add(site: Site, times: int, on: str = "k") -> None:
    for _ in range(times):
        await site.ended((await site.client.submit("add", Add(on=on))).id)


async def positions(site: Site, on: str = "k") -> list[int]:
    return [entry.position for entry in await site.planes.inspection.log("add", on)]


async def total(site: Site, projection: Projection[Sum]) -> int:
    state = projection.load(await site.planes.store.record("add", "k", projection.record))
    assert state is not None
    return state.state.total


@in_virtual_time
async def test_by_snapshot_what_every_projection_has_one_of_goes_and_the_rest_stays() -> None:
    often, seldom = sum_projection("often", snapshot_every=2), sum_projection("seldom", snapshot_every=5)
    async with open_site(adder("snapshot", often, seldom)) as site:
        site.start()
        await add(site, 4)
        await site.clock.sleep(_ROUND)
        assert await positions(site) == [1, 2, 3, 4]
        await add(site, 3)
        await site.clock.sleep(_ROUND)
        assert await positions(site) == [6, 7]
        await add(site, 1)
        assert (await total(site, often), await total(site, seldom)) == (8, 8)
        assert (await verify(site.planes, projections={"add": [often, seldom]})).findings == []
        assert await outcomes(site, often, from_start=True) == [RebuildOutcome.SAME]


@in_virtual_time
async def test_a_state_that_is_wrong_is_made_anew_from_the_snapshot_and_what_came_after() -> None:
    projection = sum_projection(snapshot_every=3)
    async with open_site(adder("snapshot", projection)) as site:
        site.start()
        await add(site, 4)
        await site.clock.sleep(_ROUND)
        assert await positions(site) == [4]
        key = await site.planes.inspection.key("add", "k")
        assert key is not None
        wrong = {projection.record: projection.dump(ProjectionState(4, Sum(total=-1)))}
        fence = Fence(key.token + 1, "spoil", "test")
        assert await site.planes.store.amend("add", "k", fence, wrong, log_length=4) is True
        assert len((await verify(site.planes, projections={"add": [projection]})).findings) == 1
        assert await outcomes(site, projection) == [RebuildOutcome.REBUILT]
        assert await total(site, projection) == 4
        assert (await verify(site.planes, projections={"add": [projection]})).findings == []


@in_virtual_time
async def test_by_age_what_is_old_goes_also_of_keys_that_nobody_uses() -> None:
    async with open_site(adder(timedelta(seconds=60))) as site:
        site.start()
        await add(site, 2, on="idle")
        await add(site, 1)
        await site.clock.sleep(40)
        await add(site, 1)
        assert (await positions(site), await positions(site, "idle")) == ([1, 2], [1, 2])
        await site.clock.sleep(20 + _ROUND)
        assert (await positions(site), await positions(site, "idle")) == ([2], [])
        await add(site, 1, on="idle")
        assert await positions(site, "idle") == [3]
        assert (await verify(site.planes)).findings == []


@in_virtual_time
async def test_by_age_too_what_a_projection_needs_stays_and_one_that_comes_late_says_what_it_misses() -> None:
    projection = sum_projection(snapshot_every=3)
    async with open_site(adder(timedelta(seconds=60), projection)) as site:
        site.start()
        await add(site, 5)
        await site.clock.sleep(60 + _ROUND)
        assert await positions(site) == [4, 5]
        later = sum_projection("later")
        (found,) = [one async for one in _rebuilt(site, later)]
        assert (found.outcome, "does not have entry 1 of 5" in found.problem) == (RebuildOutcome.FAILED, True)


class _Between:
    """A plane at which something happens once, right after its first answer to a question."""

    def __init__(self, plane: Any, question: str, happens: Callable[[], Awaitable[None]]) -> None:
        self._plane, self._question, self._happens = plane, question, happens

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._plane, name)
        if name != self._question:
            return method

        async def asked(*arguments: Any, **options: Any) -> Any:
            answer = await method(*arguments, **options)
            self._question = ""
            await self._happens()
            return answer

        return asked


@pytest.mark.parametrize(("plane", "question"), [("store", "record"), ("inspection", "keys")])
@pytest.mark.parametrize("from_start", [False, True])
@pytest.mark.parametrize("trims", [False, True])
@in_virtual_time
async def test_a_rebuild_finds_nothing_wrong_where_jobs_go_on_and_their_logs_are_trimmed_beside_it(
    plane: str, question: str, from_start: bool, trims: bool
) -> None:
    """Jobs that take the log beyond the next snapshot, and maintenance, in the middle of its looks."""
    projection = sum_projection(snapshot_every=3)
    async with open_site(adder("snapshot", projection)) as site:
        site.start()
        await add(site, 4)
        await site.clock.sleep(_ROUND)
        assert await positions(site) == [4]

        async def goes_on() -> None:
            await add(site, 3)
            if trims:
                await site.clock.sleep(_ROUND)
                assert await positions(site) == [7]

        planes = replace(site.planes, **{plane: _Between(getattr(site.planes, plane), question, goes_on)})
        async with keeper_of(site) as keeper:
            rebuilder = Rebuilder(planes, keeper, site.clock, from_start=from_start)
            found = [one async for one in rebuilder.run("add", [projection])]
        assert [(one.outcome, one.problem) for one in found] == [(RebuildOutcome.SAME, "")]


async def _rebuilt(site: Site, projection: Projection[Sum]) -> AsyncIterator[Rebuilt]:
    async with keeper_of(site) as keeper:
        async for one in Rebuilder(site.planes, keeper, site.clock).run("add", [projection]):
            yield one


@in_virtual_time
async def test_a_log_that_is_kept_for_ever_is() -> None:
    async with open_site(adder(None, sum_projection(snapshot_every=1))) as site:
        site.start()
        await add(site, 3)
        await site.clock.sleep(5 * _ROUND)
        assert await positions(site) == [1, 2, 3]


class _Looks:
    """An inspection that counts the passes over all keys."""

    def __init__(self, plane: Any) -> None:
        self._plane, self.passes = plane, 0

    async def keys(self, *, after: tuple[str, str], limit: int) -> Any:
        self.passes += after[1] == ""
        return await self._plane.keys(after=after, limit=limit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plane, name)


async def _trims(site: Site, retention: Any, leads: Callable[[], set[str]], seconds: float) -> int:
    """Trim the logs of the site, as its leader by `leads` does, for so long; return how many passes that took."""
    looks = _Looks(site.planes.inspection)
    with anyio.move_on_after(seconds):
        await trim_logs_forever(
            replace(site.planes, inspection=looks),
            Registry([adder(retention)]),
            ["add"],
            leads=leads,
            clock=site.clock,
            rng=random.Random(1),
            telemetry=site.witness.telemetry,
        )
    return looks.passes


@in_virtual_time
async def test_who_no_longer_leads_leaves_the_rest_of_the_keys_to_who_does() -> None:
    async with open_site(adder(None)) as site:
        site.start()
        for on in "abc":
            await add(site, 1, on=on)
        await site.clock.sleep(5)
        # Asked at the beginning of the pass, and at the first key.
        answers = iter([{"add"}, {"add"}])
        await _trims(site, timedelta(seconds=1), lambda: next(answers, set()), _ROUND)
        assert [await positions(site, on) for on in "abc"] == [[], [1], [1]]


@in_virtual_time
async def test_the_longer_entries_are_kept_the_seldomer_all_keys_are_looked_at() -> None:
    async with open_site(adder(None)) as site:
        site.start()
        await add(site, 1)
        passes = [await _trims(site, timedelta(seconds=age), lambda: {"add"}, 300) for age in (10_000, 100)]
        assert passes[0] == 3
        assert passes[1] > 15


@pytest.mark.parametrize("wrong", [timedelta(0), 5, "age", "snapshot"])
def test_a_declaration_that_cannot_work_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="log_retention"):
        adder(wrong)


def test_the_types_of_a_group_keep_their_common_log_alike() -> None:
    async def one(job: Add, ctx: Context) -> None: ...

    types = [
        processor(name, key=lambda job: job.on, group="adders", log_retention=retention)(one)
        for name, retention in (("a", timedelta(days=1)), ("b", None))
    ]
    with pytest.raises(ConfigurationError, match="one log_retention"):
        Registry(types)
