"""Whole workers in virtual time: who submits one job is not stopped by who submits many, and no place is lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from jobkit import Client, Context, Payload, Reject, Retry, RetryPolicy, processor
from jobkit.errors import ConfigurationError, PayloadInvalid
from jobkit.model.priority import PriorityName
from jobkit.plugin.processor import Processor
from jobkit.plugin.registry import Registry
from jobkit.ports.inspection import JobState
from tests.faults.doubles import Faults
from tests.steps import Step, loose, step
from tests.virtual_site import Site, in_virtual_time, open_site

PLACES = 3
RETRY = RetryPolicy(max_attempts=3, initial=timedelta(seconds=1))


class Dish(Payload):
    guest: str
    number: int = 0
    fails: int = 0
    spoilt: bool = False


class Kitchen:
    """A type whose tenants are guests, and what has begun of it."""

    def __init__(self, places: int = PLACES, priority: PriorityName | None = None) -> None:
        self.order: list[str] = []

        @processor(
            "dish",
            key=lambda job: f"{job.guest}{job.number}",
            tenant=lambda job: job.guest,
            places=places,
            retry=RETRY,
            priority=priority,
        )
        async def dish(job: Dish, ctx: Context) -> None:
            self.order.append(f"{job.guest}{job.number}")
            await ctx.clock.sleep(1.0)
            if job.spoilt:
                raise Reject("it is spoilt")
            if ctx.job.attempt <= job.fails:
                raise Retry("it is cold")

        self.dish: Processor[Dish, None] = dish


async def ordered(
    site: Site, guest: str, count: int, priority: PriorityName | None = None, **more: object
) -> list[str]:
    jobs = [
        site.client.job("dish", {"guest": guest, "number": number, **more}, priority=priority)
        for number in range(count)
    ]
    return [job.id for job in await site.client.submit_many(jobs)]


async def _is_published(site: Site) -> bool:
    return bool(await site.planes.inspection.types(["dish"]))


async def all_end(site: Site, ids: Sequence[str], state: str = "committed") -> None:
    for id in ids:
        assert (await site.ended(id, 900)).state == state
    await site.at_rest()


@in_virtual_time
async def test_one_who_submits_many_does_not_stop_one_who_submits_one() -> None:
    kitchen = Kitchen()
    async with open_site(kitchen.dish, partitions=1, concurrency="2") as site:
        ids = await ordered(site, "many", 100)
        site.start("a")
        await site.until(lambda: len(kitchen.order) >= 10)
        ids += await ordered(site, "one", 1)
        await site.until(lambda: "one0" in kitchen.order)
        assert len(kitchen.order) <= 10 + PLACES + 2
        await all_end(site, ids)
        assert sorted(kitchen.order) == sorted([f"many{number}" for number in range(100)] + ["one0"])


@in_virtual_time
async def test_tenants_who_all_wait_take_turns() -> None:
    kitchen = Kitchen(places=1)
    async with open_site(kitchen.dish, partitions=1, concurrency="1") as site:
        ids = [id for guest in "abc" for id in await ordered(site, guest, 10)]
        site.start("a")
        await all_end(site, ids)
        for turn in range(10):
            assert {name[0] for name in kitchen.order[3 * turn : 3 * turn + 3]} == set("abc"), kitchen.order


@in_virtual_time
async def test_a_place_is_used_again_at_once_so_that_slots_are_busy() -> None:
    kitchen = Kitchen(places=4)
    async with open_site(kitchen.dish, partitions=2, concurrency="4") as site:
        ids = await ordered(site, "only", 40)
        site.start("a")
        began = site.clock.now()
        await all_end(site, ids)
        # Of which ten seconds are work.
        assert site.clock.now() - began < 20


@in_virtual_time
async def test_jobs_that_die_or_are_tried_again_lose_no_place() -> None:
    kitchen = Kitchen(places=2)
    async with open_site(kitchen.dish, concurrency="4") as site:
        site.start("a")
        spoilt = await ordered(site, "a", 6, spoilt=True)
        cold = await ordered(site, "b", 6, fails=1)
        await all_end(site, spoilt, "dead")
        await all_end(site, cold)


@in_virtual_time
async def test_a_place_is_used_again_at_once_however_its_job_ended() -> None:
    kitchen = Kitchen(places=1)
    async with open_site(kitchen.dish, concurrency="4") as site:
        # One that leads nothing, so that it hears of no place by itself.
        site.start("a")
        await site.at_rest()
        began = site.clock.now()
        await all_end(site, await ordered(site, "a", 10, spoilt=True), "dead")
        assert site.clock.now() - began < 10 * 1.6
        for_nothing = await ordered(site, "b", 10)
        for number, id in enumerate(for_nothing):
            await site.until(lambda number=number: f"b{number}" in kitchen.order, 1.1)
            assert (await site.client.cancel(id)).cancelled
        assert len(kitchen.order) == 20


@in_virtual_time
async def test_places_outlive_workers() -> None:
    kitchen = Kitchen(places=2)
    async with open_site(kitchen.dish, concurrency="2") as site:
        ids = await ordered(site, "a", 12)
        first = site.start("a", faults=Faults(site.clock))
        await site.until(lambda: len(kitchen.order) >= 3)
        await first.crash()
        site.start("b")
        await all_end(site, ids)


@in_virtual_time
async def test_a_high_job_does_not_stand_in_its_tenants_own_line() -> None:
    kitchen = Kitchen(priority="normal")
    async with open_site(kitchen.dish, partitions=1, concurrency="1") as site:
        ids = await ordered(site, "a", 50)
        site.start("a")
        await site.until(lambda: len(kitchen.order) >= 5)
        high = await site.client.submit("dish", {"guest": "a", "number": 99}, priority="high")
        await site.until(lambda: "a99" in kitchen.order, 5)
        last = ids.pop()
        assert (await site.client.reprioritize(last, "high")).changed
        await site.until(lambda: "a49" in kitchen.order, 5)
        await all_end(site, [*ids, high.id, last])


@in_virtual_time
async def test_a_submitter_is_told_that_its_job_waits_and_whose_it_is() -> None:
    kitchen = Kitchen(places=1)
    async with open_site(kitchen.dish, loose) as site:
        first = await site.client.submit("dish", Dish(guest="a"))
        second = await site.client.submit("dish", Dish(guest="a", number=1))
        other = await site.client.submit("dish", Dish(guest="a", number=2), tenant="b")
        assert [(job.waits, job.published) for job in (first, second, other)] == [
            (False, True),
            (True, False),
            (False, True),
        ]
        record = await site.client.status(second.id)
        assert (record.tenant, record.waits_for_place, record.state) == ("a", True, JobState.SCHEDULED)
        assert (await site.client.status(other.id)).tenant == "b"
        with pytest.raises(ValueError, match="knows no tenants"):
            await site.client.submit("loose", Step(), tenant="a")
        for wrong in ("", "a\0", "x" * 513):
            with pytest.raises(PayloadInvalid, match="no tenant could be made"):
                await site.client.submit("dish", Dish(guest=wrong))


@in_virtual_time
async def test_without_the_code_a_tenant_is_said() -> None:
    kitchen = Kitchen(places=1)
    async with open_site(kitchen.dish) as site:
        site.start("a")
        stranger = Client(site.planes, Registry([]), site.settings, site.clock)
        await site.until(lambda: _is_published(site))
        with pytest.raises(PayloadInvalid, match="say tenant="):
            await stranger.submit("dish", {"guest": "a"})
        job = await stranger.submit("dish", {"guest": "a"}, tenant="a")
        assert (await stranger.status(job.id)).tenant == "a"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"tenant": "customer"}, "tenant must be a plain function"),
        ({"tenant": lambda job: job.on, "places": 0}, "places must be 1 to 10000, not 0"),
        ({"tenant": lambda job: job.on, "places": True}, "places must be"),
        ({"places": 3}, "places go with tenant="),
        ({"tenant": lambda job: job.on, "ordered": True}, "cannot take turns"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(words: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        processor("odd", key=lambda job: job.on, **words)  # type: ignore[arg-type]


def test_a_type_without_tenants_makes_jobs_of_nobodys() -> None:
    assert Registry([step]).new_job("step", Step()).tenancy is None
