"""Workers in virtual time whose network becomes slow: how long jobs wait until somebody nearer has them."""

from __future__ import annotations

import anyio

from jobkit import Context, processor
from tests.faults.doubles import Faults, slow_reply
from tests.steps import Step
from tests.virtual_site import Site, in_virtual_time, open_site

# As in the incident: half a second is added to every round trip, which takes a little by itself.
_SLOW_SECONDS = 0.52
_KEYS = 4


@processor("hop", key=lambda job: job.on, ordered=True)
async def hop(job: Step, ctx: Context) -> float:
    """Return when it was done."""
    await ctx.clock.sleep(0.005)
    return ctx.clock.now()


def _become_far(worker: Faults) -> None:
    for plane in ("coordinator", "store", "broker"):
        worker.always(f"{plane}.*", slow_reply(_SLOW_SECONDS))


async def _led_by(site: Site, *owners: str) -> bool:
    leaders = await site.leaders()
    return len(leaders) == site.settings.partitions and set(leaders.values()) == set(owners)


async def _highest_lag(site: Site, seconds: float) -> float:
    """Submit events of a few sessions for so long, wait for their end, and return the longest that one took."""
    submitted: dict[str, float] = {}
    for number in range(round(seconds / 0.2)):
        for key in range(_KEYS):
            # A session ends after some events, and another one begins.
            job = await site.client.submit("hop", Step(on=f"{number // 40}-{key}", number=number))
            submitted[job.id] = site.clock.now()
        await site.clock.sleep(0.2)
    await site.at_rest()
    records = [(at, await site.client.status(id)) for id, at in submitted.items()]
    return max(float(record.result or b"0") - at for at, record in records)


@in_virtual_time
async def test_jobs_of_a_worker_that_becomes_far_wait_less_than_five_seconds() -> None:
    """What leadership itself costs, with each call to a plane slow by as much; connections and channels come on top."""
    async with open_site(hop, partitions=8) as site:
        far = Faults(site.clock)
        site.start("near")
        site.start("far", faults=far)
        await site.until(lambda: _led_by(site, "near", "far"))
        _become_far(far)
        assert await _highest_lag(site, 20) < 5
        assert await _led_by(site, "near")
        far.heal()
        assert await _highest_lag(site, 30) < 0.5
        assert await _led_by(site, "near", "far")
        assert site.witness.count("jobkit.leases.lost") == 0


@in_virtual_time
async def test_a_hot_ordered_key_does_a_job_for_each_round_trip() -> None:
    async with open_site(hop) as site:
        jobs = [await site.client.submit("hop", Step(on="hot", number=number)) for number in range(40)]
        far = Faults(site.clock)
        for plane in ("coordinator", "store"):
            far.always(f"{plane}.*", slow_reply(_SLOW_SECONDS))
        site.start("far", faults=far)
        await site.at_rest()
        done = [float((await site.client.status(job.id)).result or b"0") for job in jobs]
        assert done == sorted(done)
        # Each runs for 5 ms, and is opened 5 ms after the one before it is committed.
        assert (done[-1] - done[0]) / (len(done) - 1) < 1.05 * _SLOW_SECONDS


@in_virtual_time
async def test_what_was_opened_ahead_and_does_not_begin_is_no_suspect() -> None:
    async with open_site(hop) as site:
        for number in range(20):
            await site.client.submit("hop", Step(on="hot", number=number))
        far = Faults(site.clock)
        far.always("store.*", slow_reply(_SLOW_SECONDS))
        leaving = site.start("far", faults=far)
        await site.until(lambda: far.calls["store.commit"] > 3)
        await leaving.drain()
        [told] = site.witness.lines("attempt interrupted, it does not count")
        assert "opened ahead" in told["reason"]
        # It may be said twice, where the worker ends before it has heard that it was heard.
        assert far.calls["store.interrupted"] >= 1
        site.start("near", faults=Faults(site.clock))
        await site.at_rest()


@in_virtual_time
async def test_who_become_far_together_keep_what_they_lead() -> None:
    async with open_site(hop, partitions=8) as site:
        several = {name: Faults(site.clock) for name in ("a", "b", "c")}
        for name, faults in several.items():
            site.start(name, faults=faults)
            # So that they do not look in the same instants.
            await site.clock.sleep(0.17)
        await site.until(lambda: _led_by(site, *several))
        await site.clock.sleep(20)
        elections = site.witness.count("jobkit.elections")
        for faults in several.values():
            _become_far(faults)
        await site.clock.sleep(60)
        assert site.witness.count("jobkit.elections") == elections


@in_virtual_time
async def test_a_store_that_does_not_answer_keeps_nobody_from_taking_what_is_free() -> None:
    """However far something seems, who compares has done so within seconds."""
    async with open_site(hop, partitions=8) as site:
        away = Faults(site.clock)
        site.start("a", faults=away)
        other = site.start("b")
        await site.until(lambda: _led_by(site, "a", "b"))
        away.always("store.pauses", slow_reply(1000))
        await site.until(lambda: _led_by(site, "b"))
        await other.drain()
        with anyio.fail_after(10):
            await site.until(lambda: _led_by(site, "a"))
