"""Whole workers in virtual time: limits that hold over all of them, and what waits for one and stops nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from jobkit import Concurrency, Context, Payload, Rate, Retry, RetryPolicy, processor
from jobkit.errors import ConfigurationError, PayloadInvalid
from jobkit.model.clock import Clock
from jobkit.model.limit import Limit
from jobkit.plugin.registry import Registry
from jobkit.ports.limits import Waiting
from tests.faults.doubles import Faults
from tests.virtual_site import AnyProcessor, Site, in_virtual_time, open_site

PREFETCH = 12


class Call(Payload):
    """A job of a tenant's, that takes so many seconds; it fails the first `fails` times."""

    key: str
    tenant: str = ""
    seconds: float = 1.0
    fails: int = 0


class Calls:
    """Two processors that share limits, and a witness of how many of their jobs ran at once and when each began."""

    def __init__(self, limits: Sequence[Concurrency | Rate], *, ordered: bool = False) -> None:
        self.clock: Clock | None = None
        self.most = 0
        self.began: list[tuple[float, str]] = []
        self._running: dict[str, int] = {}
        retry = RetryPolicy(max_attempts=5, initial=timedelta(seconds=20), jitter=0.0)

        @processor("call", key=lambda job: job.key, limits=limits, ordered=ordered, retry=retry)
        async def call(job: Call, ctx: Context) -> None:
            await self._run(job, ctx)

        @processor("other", key=lambda job: job.key, limits=limits)
        async def other(job: Call, ctx: Context) -> None:
            await self._run(job, ctx)

        @processor("free", key=lambda job: job.key)
        async def free(job: Call, ctx: Context) -> None:
            await ctx.clock.sleep(job.seconds)

        self.processors: list[AnyProcessor] = [call, other, free]

    async def _run(self, job: Call, ctx: Context) -> None:
        running = self._running
        running[job.tenant] = running.get(job.tenant, 0) + 1
        self.most = max(self.most, running[job.tenant])
        self.began.append((ctx.clock.now(), job.key))
        try:
            await ctx.clock.sleep(job.seconds)
            if ctx.job.attempt <= job.fails:
                raise Retry("not yet")
            ctx.append("done", {"key": job.key})
        finally:
            running[job.tenant] -= 1


PAIR = Concurrency("pair", 2)
PER_TENANT = Concurrency("tenant", 1, key=lambda job: job.tenant)


async def _submit(site: Site, type: str, calls: Sequence[Call]) -> list[str]:
    return [job.id for job in await site.client.submit_many([site.client.job(type, call) for call in calls])]


@in_virtual_time
async def test_a_limit_holds_over_two_workers_and_two_types_and_all_jobs_commit() -> None:
    calls = Calls([PAIR])
    async with open_site(*calls.processors, prefetch=PREFETCH) as site:
        ids = await _submit(site, "call", [Call(key=f"a{number}") for number in range(15)])
        ids += await _submit(site, "other", [Call(key=f"b{number}") for number in range(15)])
        site.start("a")
        site.start("b")
        for id in ids:
            assert (await site.ended(id)).state == "committed"
        assert calls.most == PAIR.count
        await site.at_rest()
        assert await site.planes.coordinator.limits() == []


@in_virtual_time
async def test_no_time_is_lost_between_one_that_ends_and_the_next_that_begins() -> None:
    calls = Calls([Concurrency("one", 1)])
    async with open_site(*calls.processors, partitions=1) as site:
        ids = await _submit(site, "call", [Call(key=f"k{number}", seconds=10.0) for number in range(6)])
        site.start("a")
        for id in ids:
            await site.ended(id)
        times = [at for at, _ in calls.began]
        assert times[-1] - times[0] < 5 * 10.0 + 2.0


@in_virtual_time
async def test_what_waits_for_a_limit_holds_no_slot_and_one_asks_for_all() -> None:
    calls = Calls([Concurrency("one", 1)])
    async with open_site(*calls.processors, partitions=1, concurrency="2") as site:
        waiting = await _submit(site, "call", [Call(key=f"k{number}", seconds=60.0) for number in range(10)])
        site.start("a")
        await site.until(lambda: len(calls.began) == 1)
        (free,) = await _submit(site, "free", [Call(key="free")])
        assert (await site.ended(free, 5)).state == "committed"
        await site.clock.sleep(30)
        claims = site.faults.calls["coordinator.claim"]
        waits = site.faults.calls["coordinator.wait_limit"]
        await site.clock.sleep(20)
        # Nine wait, and one of them has looked again a few times.
        assert site.faults.calls["coordinator.claim"] - claims <= 3
        assert site.faults.calls["coordinator.wait_limit"] - waits <= 3
        for id in waiting:
            assert (await site.ended(id, 700)).state == "committed"


@in_virtual_time
async def test_a_tenant_with_many_jobs_does_not_stop_the_others_and_fills_no_prefetch() -> None:
    calls = Calls([PER_TENANT])
    async with open_site(*calls.processors, partitions=1, prefetch=PREFETCH) as site:
        many = [Call(key=f"m{number}", tenant="many", seconds=2.0) for number in range(8 * PREFETCH)]
        ids = await _submit(site, "call", many)
        few = await _submit(site, "call", [Call(key=f"f{number}", tenant="few") for number in range(3)])
        site.start("a")
        started = site.clock.now()
        for id in few:
            assert (await site.ended(id)).state == "committed"
        # Those of the other take 200 seconds.
        assert site.clock.now() - started < 20
        for id in ids:
            assert (await site.ended(id, 400)).state == "committed"
        assert calls.most == 1
        # No pauses: the next is in hand when one ends.
        assert site.clock.now() - started < 2.0 * len(ids) * 1.3
        await site.at_rest()


@in_virtual_time
async def test_who_takes_over_finds_the_others_behind_a_tenant_with_many_jobs() -> None:
    calls = Calls([PER_TENANT])
    async with open_site(*calls.processors, partitions=1, prefetch=PREFETCH) as site:
        await _submit(site, "call", [Call(key=f"m{number}", tenant="many", seconds=5.0) for number in range(100)])
        first = site.start("a")
        await site.until(lambda: len(calls.began) > 2)
        few = await _submit(site, "call", [Call(key=f"z{number}", tenant="few", seconds=20.0) for number in range(2)])
        await site.until(lambda: any(key.startswith("z") for _, key in calls.began))
        await first.crash()
        site.start("b", faults=Faults(site.clock))
        started = site.clock.now()
        for id in few:
            assert (await site.ended(id)).state == "committed"
        assert site.clock.now() - started < 90


@in_virtual_time
async def test_a_key_keeps_its_order_while_it_waits_and_while_others_retry() -> None:
    calls = Calls([Concurrency("one", 1)], ordered=True)
    async with open_site(*calls.processors, partitions=1, prefetch=PREFETCH) as site:
        mixed = [Call(key="ab"[number % 2], seconds=0.5, fails=number % 5 == 0) for number in range(20)]
        ids = await _submit(site, "call", mixed)
        site.start("a")
        site.start("b")
        for id in ids:
            assert (await site.ended(id, 400)).state == "committed"
        for key in "ab":
            log = await site.planes.inspection.log("call", key)
            assert [entry.sequence for entry in log] == list(range(1, 11))
        assert calls.most == 1


@in_virtual_time
async def test_a_job_that_waits_for_its_next_attempt_gives_the_limit_to_others() -> None:
    calls = Calls([Concurrency("one", 1)], ordered=True)
    async with open_site(*calls.processors, partitions=1) as site:
        (failing,) = await _submit(site, "call", [Call(key="a", fails=1)])
        site.start("a")
        await site.until(lambda: len(calls.began) == 1)
        (other,) = await _submit(site, "call", [Call(key="b")])
        await site.ended(other, 10)
        assert (await site.ended(failing)).state == "committed"


@in_virtual_time
async def test_a_rate_is_kept_in_each_window_and_used_whole() -> None:
    rate = Rate("mail", 5, per=timedelta(seconds=60))
    calls = Calls([rate])
    async with open_site(*calls.processors) as site:
        ids = await _submit(site, "call", [Call(key=f"k{number}", seconds=0.1) for number in range(17)])
        site.start("a")
        site.start("b")
        for id in ids:
            await site.ended(id, 400)
        times = [at for at, _ in calls.began]
        for first, later in zip(times, times[rate.count :], strict=False):
            assert 59.0 < later - first < 62.0


@in_virtual_time
async def test_a_worker_that_died_no_longer_counts_after_its_lease() -> None:
    calls = Calls([Concurrency("one", 1)])
    async with open_site(*calls.processors, partitions=1) as site:
        ids = await _submit(site, "call", [Call(key=f"k{number}", seconds=5.0) for number in range(3)])
        first = site.start("a")
        await site.until(lambda: len(calls.began) == 1)
        await first.crash()
        site.start("b", faults=Faults(site.clock))
        for id in ids:
            assert (await site.ended(id)).state == "committed"


@in_virtual_time
async def test_what_waits_is_told_for_people_to_look_at_and_no_longer_once_nothing_does() -> None:
    calls = Calls([Concurrency("one", 1)])
    async with open_site(*calls.processors, partitions=1) as site:
        ids = await _submit(site, "call", [Call(key=f"k{number}", seconds=30.0) for number in range(3)])
        site.start("a")
        await site.until(lambda: len(calls.began) == 1)
        began = calls.began[0][1]
        waiting = [id for number, id in enumerate(ids) if f"k{number}" != began]

        async def told() -> bool:
            found = await site.planes.coordinator.waiting()
            return [(one.bucket, one.number, set(one.ids)) for one in found] == [("one", 2, set(waiting))]

        await site.until(told, 20)
        (info,) = await site.planes.coordinator.limits()
        assert (info.limit, info.used, info.holders) == (Limit("one", 1), 1, (f"call/{began}",))
        for id in ids:
            await site.ended(id)

        async def nothing() -> bool:
            return await site.planes.coordinator.waiting() == list[Waiting]()

        await site.until(nothing, 20)
        noted = site.faults.calls["coordinator.note_waiting"]
        await site.clock.sleep(60)
        assert site.faults.calls["coordinator.note_waiting"] == noted


def test_two_declarations_of_one_limit_are_refused() -> None:
    @processor("one", key=lambda job: job.key, limits=[Concurrency("gpu", 2)])
    async def one(job: Call, ctx: Context) -> None: ...

    @processor("two", key=lambda job: job.key, limits=[Concurrency("gpu", 3)])
    async def two(job: Call, ctx: Context) -> None: ...

    with pytest.raises(ConfigurationError, match="'gpu' is declared in two ways"):
        Registry([one, two])


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ([Concurrency("Gpu", 1)], "the name of a limit"),
        ([Concurrency("gpu", 0)], "count must be"),
        ([Rate("mail", 1, per=timedelta(0))], "per must be"),
        ([Concurrency("gpu", 1, key="tenant")], "plain function"),  # type: ignore[arg-type]
        ([Concurrency("gpu", 1), Rate("gpu", 1, per=timedelta(1))], "one name"),
        ("gpu", "limits must be a list"),
    ],
)
def test_a_wrong_declaration_is_told(limits: Sequence[Concurrency | Rate], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        processor("call", key=lambda job: job.key, limits=limits)


def test_a_payload_without_a_usable_key_for_a_limit_is_refused_as_it_is_submitted() -> None:
    @processor("call", key=lambda job: job.key, limits=[PER_TENANT])
    async def call(job: Call, ctx: Context) -> None: ...

    registry = Registry([call])
    with pytest.raises(PayloadInvalid, match="key of a limit"):
        registry.new_job("call", Call(key="k"))
    assert registry.new_job("call", Call(key="k", tenant="a")).envelope.key == "k"
