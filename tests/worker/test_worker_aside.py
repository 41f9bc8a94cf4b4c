"""A whole worker in virtual time: keys that would keep all others waiting, and the order of what is set aside."""

from __future__ import annotations

from tests.faults.doubles import Faults
from tests.steps import Step, loose, step
from tests.virtual_site import Site, in_virtual_time, open_site

PREFETCH = 20


async def _submit(site: Site, type: str, key: str, count: int, seconds: float = 0.0, first: int = 1) -> list[str]:
    steps = [Step(on=key, number=number, seconds=seconds) for number in range(first, first + count)]
    return [job.id for job in await site.client.submit_many([site.client.job(type, one) for one in steps])]


async def _in_order(site: Site, type: str, key: str, count: int) -> None:
    assert await site.log(type, key) == [f'{{"number":{number}}}' for number in range(1, count + 1)]


@in_virtual_time
async def test_a_hot_key_does_not_keep_other_keys_waiting_while_slots_are_idle() -> None:
    """Its jobs are set aside, keep their order, and all commit."""
    for type in ("loose", "step"):
        async with open_site(step, loose, partitions=1, prefetch=PREFETCH) as site:
            hot = await _submit(site, type, "hot", 100, seconds=4.0)
            others = [(await _submit(site, type, f"k{number}", 1))[0] for number in range(5)]
            site.start()
            started = site.clock.now()
            for id in others:
                assert (await site.ended(id)).state == "committed"
            # Without it they wait for 80 jobs of 4 seconds each.
            assert site.clock.now() - started < 30
            assert (await site.ended(hot[-1], 500)).state == "committed"
            await _in_order(site, type, "hot", 100)
            await site.at_rest()


@in_virtual_time
async def test_a_key_whose_lease_somebody_else_holds_does_not_keep_other_keys_waiting() -> None:
    async with open_site(loose, partitions=1, prefetch=PREFETCH) as site:
        await site.planes.coordinator.claim("loose/held", owner="somebody", nonce="n", ttl=300)
        held = await _submit(site, "loose", "held", 3 * PREFETCH)
        (other,) = await _submit(site, "loose", "free", 1)
        site.start()
        started = site.clock.now()
        assert (await site.ended(other)).state == "committed"
        assert site.clock.now() - started < 15
        assert (await site.ended(held[-1], 400)).state == "committed"
        await _in_order(site, "loose", "held", 3 * PREFETCH)
        await site.at_rest()


@in_virtual_time
async def test_many_keys_whose_leases_somebody_else_holds_do_not_keep_other_keys_waiting() -> None:
    async with open_site(loose, partitions=1, prefetch=PREFETCH) as site:
        keys = [f"held{number}" for number in range(2 * PREFETCH)]
        held = []
        for key in keys:
            await site.planes.coordinator.claim(f"loose/{key}", owner="somebody", nonce="n", ttl=200)
            held += await _submit(site, "loose", key, 1)
        (other,) = await _submit(site, "loose", "free", 1)
        site.start()
        assert (await site.ended(other)).state == "committed"
        for id in held:
            assert (await site.ended(id, 300)).state == "committed"
        await site.at_rest()


@in_virtual_time
async def test_what_runs_fast_enough_is_not_set_aside() -> None:
    """It costs a write for each job, so it is for keys that stand in the way only."""
    async with open_site(loose, partitions=1, prefetch=PREFETCH) as site:
        ids = await _submit(site, "loose", "k", 10 * PREFETCH, seconds=0.1)
        site.start()
        await site.ended(ids[-1])
        assert site.faults.calls["store.shelve"] == 0
        await site.at_rest()


@in_virtual_time
async def test_an_orphan_is_adopted_at_once_however_many_busy_ones_are_before_it() -> None:
    """Also behind one that this version cannot read."""
    async with open_site(loose, partitions=1, prefetch=PREFETCH, delivery_hold=5) as site:
        victim = site.start("victim", faults=Faults(site.clock))
        busy = [f"busy{number:03}" for number in range(2 * PREFETCH)]
        for key in busy:
            await site.planes.coordinator.claim(f"loose/{key}", owner="somebody", nonce="n", ttl=600)
            await _submit(site, "loose", key, 1)
        await site.until(lambda: _shelved(site, 2 * PREFETCH), within=200)
        (unreadable,) = await _submit(site, "loose", "orphan", 1, seconds=100)
        await site.until(lambda: _shelved(site, 2 * PREFETCH + 1), within=200)
        await _submit(site, "loose", "orphan", 5, first=2)
        await site.until(lambda: _shelved(site, 2 * PREFETCH + 6), within=200)
        await victim.crash()
        await _spoil(site, unreadable)
        heir = site.start("heir", faults=Faults(site.clock))
        started = site.clock.now()
        await site.until(lambda: _logged(site, "loose", "orphan", 5), within=60)
        assert site.clock.now() - started < 2 * site.settings.lease_ttl + 10
        # Told once, though it is seen at each look.
        assert len(site.witness.lines("job held for a worker that knows it")) == 1
        heir.worker.stop()


async def _shelved(site: Site, count: int) -> bool:
    return await site.shelved() == count


async def _logged(site: Site, type: str, key: str, count: int) -> bool:
    return len(await site.log(type, key)) == count


async def _spoil(site: Site, id: str) -> None:
    """Let a job's payload be one that the processor's model refuses."""

    def spoil(transaction: object) -> None:
        (packed,) = transaction.execute(  # type: ignore[attr-defined]
            "SELECT envelope FROM envelopes JOIN jobs ON number = job WHERE id = ?", (id,)
        ).fetchone()
        transaction.execute(  # type: ignore[attr-defined]
            "UPDATE envelopes SET envelope = ? WHERE job = (SELECT number FROM jobs WHERE id = ?)",
            (packed.replace(b'"number":1', b'"number":"x"'), id),
        )

    await site.planes.store._plane.write(spoil)  # type: ignore[attr-defined]


@in_virtual_time
async def test_jobs_without_a_sequence_keep_their_order_over_a_hand_over() -> None:
    """Those set aside come before those that are still in the queue: 1, 2, 3, 4, 5, not 1, 4, 5, 2, 3."""
    for ending in ("drain", "crash", "join"):
        async with open_site(loose, partitions=1, delivery_hold=20, drain_seconds=200) as site:
            first = site.start("z-first", faults=Faults(site.clock))
            await _submit(site, "loose", "k", 1, seconds=100)
            await _submit(site, "loose", "k", 2, first=2)
            await site.until(lambda: _shelved(site, 3))
            await _submit(site, "loose", "k", 2, first=4)
            await site.clock.sleep(5)
            match ending:
                case "drain":
                    first.worker.drain()
                    site.start("second", faults=Faults(site.clock))
                case "crash":
                    await first.crash()
                    site.start("second", faults=Faults(site.clock))
                case "join":
                    # Of one partition, one of two may lead none: whichever it is.
                    site.start("a-second", faults=Faults(site.clock))
            await site.at_rest(400)
            await _in_order(site, "loose", "k", 5)
