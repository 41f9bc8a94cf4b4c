"""Two job types of one group, in virtual time: for one key they are one queue, one lease and one order."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from jobkit import Context, Payload, Processor, processor
from jobkit.errors import UnknownType
from tests.faults.doubles import Faults
from tests.virtual_site import in_virtual_time, open_site


class Move(Payload):
    of: str
    number: int


class Watch:
    """Processors that note when two of them run at once for one key."""

    def __init__(self, group: str | None) -> None:
        self.running: list[str] = []
        self.together = 0
        self.processors = [self._made(name, group) for name in ("deposit", "withdraw")]

    def _made(self, name: str, group: str | None) -> Processor[Move, None]:
        @processor(name, key=lambda job: job.of, ordered=True, group=group, timeout=timedelta(minutes=5))
        async def made(job: Move, ctx: Context) -> None:
            self.together += bool(self.running)
            self.running.append(name)
            try:
                await ctx.clock.sleep(1)
                ctx.append(name, {"number": job.number})
            finally:
                self.running.remove(name)

        return made


@in_virtual_time
async def test_two_types_without_a_group_run_side_by_side_for_one_key() -> None:
    watch = Watch(None)
    async with open_site(*watch.processors) as site:
        site.start()
        jobs = [
            await site.client.submit(("deposit", "withdraw")[number % 2], Move(of="ann", number=number))
            for number in range(6)
        ]
        for job in jobs:
            assert (await site.ended(job.id)).state == "committed"
    assert watch.together


@in_virtual_time
async def test_two_types_of_a_group_never_run_at_once_for_one_key_and_keep_its_order_over_take_overs() -> None:
    watch = Watch("account")
    async with open_site(*watch.processors, lease_ttl=6.0, lease_guard=1.0) as site:
        first = site.start("a", faults=Faults(site.clock))
        jobs = [
            await site.client.submit(("deposit", "withdraw")[number % 2], Move(of="ann", number=number))
            for number in range(8)
        ]
        assert {(job.type, job.key) for job in jobs} == {("account", "ann")}
        assert [job.sequence for job in jobs] == list(range(1, 9))
        await site.ended(jobs[1].id)
        await site.until(lambda: bool(watch.running))
        await first.crash()
        second = site.start("b")
        await site.ended(jobs[3].id)
        third = site.start("c")
        await second.drain()
        for job in jobs:
            assert (await site.ended(job.id)).state == "committed"
        assert watch.together == 0
        entries = await site.planes.inspection.log("account", "ann")
        assert [json.loads(entry.data)["number"] for entry in entries] == list(range(8))
        assert [entry.kind for entry in entries] == ["deposit", "withdraw"] * 4
        assert [entry.token for entry in entries] == sorted(entry.token for entry in entries)
        assert len({entry.token for entry in entries}) >= 3
        await site.at_rest()
        await third.drain()


@in_virtual_time
async def test_one_type_of_a_group_is_not_served_or_cancelled_alone() -> None:
    async with open_site(*Watch("account").processors) as site:
        worker = site.start(types=["deposit"])
        await worker.ended.wait()
        assert isinstance(worker.error, UnknownType)
        worker.error = None
        with pytest.raises(UnknownType, match="name 'account'"):
            await site.client.cancel_all("withdraw")
        await site.client.submit("withdraw", Move(of="ann", number=1))
        assert await site.client.cancel_all("account") == 1
