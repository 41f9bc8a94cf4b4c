"""Whole workers in virtual time: urgent jobs are begun first, whatever waits, and none is passed over for ever."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from jobkit import Concurrency, Context, processor
from jobkit.errors import ConfigurationError, UnknownType
from jobkit.model.priority import Priority, PriorityName
from jobkit.plugin.registry import Registry
from jobkit.ports.inspection import JobState
from jobkit.runner.next_in_line import LOW_SHARE, NORMAL_SHARE
from tests.errands import Errand, Errands
from tests.faults.doubles import Faults
from tests.steps import Step, step
from tests.virtual_site import Site, in_virtual_time, open_site

PREFETCH = 12


async def submit(
    site: Site, names: Sequence[str], priority: PriorityName | None = None, **of: float | str
) -> list[str]:
    jobs = [site.client.job("errand", {"name": name, **of}, priority=priority) for name in names]
    return [job.id for job in await site.client.submit_many(jobs)]


def many(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


async def committed(site: Site, ids: Sequence[str], within: float = 600.0) -> None:
    for id in ids:
        assert (await site.ended(id, within)).state == "committed"


# ---- begun first ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partitions", [1, 4])
@in_virtual_time
async def test_a_high_job_begins_within_a_second_however_many_normal_ones_wait(partitions: int) -> None:
    errands = Errands()
    async with open_site(*errands.processors, partitions=partitions, prefetch=PREFETCH, concurrency="2") as site:
        ids = await submit(site, many("n", 300))
        site.start("a")
        await site.until(lambda: len(errands.began) > 20)
        for number in range(5):
            asked = site.clock.now()
            ids += await submit(site, [f"h{number}"], "high")
            await site.until(lambda name=f"h{number}": name in errands.began, 5)
            assert errands.began[f"h{number}"] - asked <= 1.0
        await committed(site, ids)
        await site.at_rest()


@in_virtual_time
async def test_a_low_job_waits_for_the_normal_ones_but_has_its_share() -> None:
    errands = Errands()
    async with open_site(*errands.processors, partitions=1, prefetch=PREFETCH, concurrency="1") as site:
        ids = await submit(site, many("l", 30), "low")
        ids += await submit(site, many("n", 60), "normal")
        ids += await submit(site, many("h", 100), "high")
        site.start("a")
        await committed(site, ids)
        order = "".join(name[0] for name in errands.order)
        # What is in hand as the first begin decides nothing yet.
        crowded = order[PREFETCH : order.rindex("h")]
        for kind, share in (("l", LOW_SHARE), ("n", NORMAL_SHARE)):
            last = order.rindex(kind)
            for first in range(min(len(crowded), last - PREFETCH) - share + 1):
                assert kind in crowded[first : first + share], (kind, order)
        assert crowded.count("h") > crowded.count("n") > crowded.count("l") > 0, order


@in_virtual_time
async def test_a_high_job_is_before_those_of_its_own_key_that_wait() -> None:
    errands = Errands()
    async with open_site(*errands.processors, partitions=1, prefetch=PREFETCH) as site:
        ids = await submit(site, many("n", 100), on="one key")
        site.start("a")
        # By then most of them were set aside.
        await site.until(lambda: len(errands.began) > 8)
        ids += await submit(site, ["h"], "high", on="one key")
        await site.until(lambda: "h" in errands.began, 5)
        assert len(errands.began) < 16
        await committed(site, ids)
        await site.at_rest()


@in_virtual_time
async def test_a_high_job_is_before_others_that_wait_for_its_limit() -> None:
    errands = Errands([Concurrency("one", 1)])
    async with open_site(*errands.processors, partitions=1, prefetch=PREFETCH) as site:
        ids = await submit(site, many("n", 40))
        site.start("a")
        await site.until(lambda: len(errands.began) > 3)
        ids += await submit(site, ["h"], "high")
        await site.until(lambda: "h" in errands.began, 5)
        # One asks for the limit already, and is granted it first.
        assert len(errands.began) <= 8
        await committed(site, ids)


# ---- kept ----------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_priority_survives_a_retry_a_snooze_a_schedule_and_a_dead_letter() -> None:
    errands = Errands()
    async with open_site(*errands.processors, partitions=1, prefetch=PREFETCH, concurrency="1") as site:
        await submit(site, many("n", 400))
        site.start("a")
        await site.until(lambda: len(errands.began) > 20)
        failing = await submit(site, ["failing"], "high", fails=1)
        putting_off = await submit(site, ["put off"], "high", put_off=10.0)
        asked = site.clock.now()
        due = site.client.job("errand", {"name": "due"}, priority="high", after=timedelta(seconds=10))
        (later,) = await site.client.submit_many([due])
        dying = await submit(site, ["dying"], "high", fails=3)
        for id in (*putting_off, later.id):
            await site.ended(id, 20)
        # In the delay queue for 20 seconds, which may become as many again.
        await committed(site, failing, 45)
        assert errands.began["due"] - asked < 13
        assert (await site.ended(dying[0], 200)).state == "dead"
        (letter,) = await site.planes.inspection.dead()
        again = await site.planes.inspection.requeue_dead(letter.number)
        assert again is not None
        assert again.priority is Priority.HIGH
        assert len(errands.began) < 400


@in_virtual_time
async def test_a_hand_over_a_pause_and_a_crash_lose_nothing_of_any_band() -> None:
    errands = Errands()
    async with open_site(*errands.processors, prefetch=PREFETCH, concurrency="2", lease_ttl=6.0) as site:
        ids: list[str] = []
        for priority in Priority:
            ids += await submit(site, many(priority, 40), priority)
        first = site.start("a")
        await site.until(lambda: len(errands.began) > 10)
        await site.client.pause("errand")
        await site.clock.sleep(3)
        begun = len(errands.began)
        await site.clock.sleep(10)
        assert len(errands.began) == begun
        await site.client.resume("errand")
        await site.until(lambda: len(errands.began) > begun + 5)
        second = site.start("b", faults=Faults(site.clock))
        await first.drain()
        await site.until(lambda: len(errands.began) > 50)
        await second.crash()
        site.start("c")
        await committed(site, ids)
        await site.at_rest()


@in_virtual_time
async def test_messages_lost_from_a_band_are_published_again() -> None:
    errands = Errands()
    async with open_site(*errands.processors, partitions=1, prefetch=PREFETCH) as site:
        ids = await submit(site, many("h", 3), "high") + await submit(site, many("l", 3), "low")
        broker = site.planes.broker
        await broker._plane.write(_forget_messages)  # type: ignore[attr-defined]
        site.start("a")
        await committed(site, ids)
        await site.at_rest()


def _forget_messages(transaction: object) -> None:
    transaction.execute("DELETE FROM messages")  # type: ignore[attr-defined]


# ---- changed -------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_job_that_waits_is_begun_sooner_or_later_when_its_priority_is_changed_and_once() -> None:
    errands = Errands()
    async with open_site(*errands.processors, partitions=1, prefetch=PREFETCH, concurrency="1") as site:
        ids = await submit(site, many("n", 60))
        site.start("a")
        await site.until(lambda: len(errands.began) > 5)
        answer = await site.client.reprioritize(ids[50], "high")
        assert (answer.changed, answer.state, answer.priority) == (True, JobState.QUEUED, Priority.HIGH)
        await site.until(lambda: "n50" in errands.began, 3)
        # One of those in hand, too.
        assert (await site.client.reprioritize(ids[12], "low")).changed
        assert await site.client.reprioritize_all("errand", "low") > 40
        assert not (await site.client.reprioritize(ids[0], "high")).changed
        await committed(site, ids)
        assert errands.order.index("n12") < len(ids)
        for number in range(60):
            log = await site.log("errand", f"n{number}")
            assert len(log) == 1
        await site.at_rest()


@in_virtual_time
async def test_what_cannot_have_a_priority_is_refused_with_the_reason() -> None:
    errands = Errands()
    async with open_site(*errands.processors, step) as site:
        (plain,) = [job.id for job in await site.client.submit_many([site.client.job("plain", {"name": "p"})])]
        for refused in ("step", "plain"):
            with pytest.raises(ValueError, match="ordered" if refused == "step" else "knows no priorities"):
                await site.client.submit(refused, Step() if refused == "step" else Errand(name="x"), priority="low")
        with pytest.raises(ValueError, match="'urgent'"):
            await site.client.submit("errand", Errand(name="x"), priority="urgent")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="knows no priorities"):
            await site.client.reprioritize(plain, "high")
        with pytest.raises(ValueError, match="knows no priorities"):
            await site.client.reprioritize_all("plain", "high")
        with pytest.raises(UnknownType):
            await site.client.reprioritize_all("nosuch", "high")
        assert (await site.client.reprioritize("nobody", "high")).state is None
        # What is normal anyway is none.
        await site.client.submit("step", Step(), priority="normal")


def test_a_declaration_that_cannot_work_is_refused() -> None:
    async def f(job: Errand, ctx: Context) -> None: ...

    with pytest.raises(ConfigurationError, match="would break its key's order"):
        processor("f", key=lambda job: job.name, ordered=True, priority="normal")(f)
    with pytest.raises(ConfigurationError, match="must be one of 'high', 'normal', 'low'"):
        processor("f", key=lambda job: job.name, priority="urgent")(f)  # type: ignore[arg-type]
    one = processor("one", key=lambda job: job.name, group="both", priority="low")(f)
    other = processor("other", key=lambda job: job.name, group="both")(f)
    with pytest.raises(ConfigurationError, match="a priority for both, or for neither"):
        Registry([one, other])
    assert Registry([one]).new_job("one", {"name": "x"}).envelope.priority is Priority.LOW


# ---- not used ------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_type_without_priorities_has_no_bands_and_no_more_consumers() -> None:
    errands = Errands()
    async with open_site(errands.processors[1], partitions=4) as site:
        site.start("a")
        await site.until(lambda: site.faults.calls["broker.consume"] == 4)
        await site.client.submit("plain", Errand(name="p"))
        await site.at_rest()
        assert [depth.bands for depth in await site.planes.broker.depths()] == [{}] * 4
        assert site.faults.calls["broker.consume"] == 4


@in_virtual_time
async def test_urgent_jobs_of_a_type_that_is_served_without_priorities_are_not_published_again_and_again() -> None:
    errands = Errands()
    async with open_site(*errands.processors, partitions=1, republish_seconds=5.0) as site:
        await submit(site, ["h"], "high")

        @processor("errand", key=lambda job: job.name)
        async def errand(job: Errand, ctx: Context) -> None: ...

        site.registry = Registry([errand])
        old = site.start("old")
        await site.clock.sleep(60)
        assert [depth.ready for depth in await site.planes.broker.depths()] == [1]
        await old.drain()
        site.registry = Registry(errands.processors)
        site.start("new")
        await site.until(lambda: "h" in errands.began, 30)
