"""`verify` reads what was committed: it finds each kind of damage, and nothing where there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from jobkit import Context, processor
from jobkit.client.layouts import Layouts
from jobkit.client.relay import Relay
from jobkit.model.blob import BlobRef
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.model.layout import Layout
from jobkit.model.partition import Partition, partition_of
from jobkit.ops.verify import Action, Repair, Violation, carry_out, verify
from jobkit.ports.blobs import StoredObject
from jobkit.ports.broker import QueueDepth
from jobkit.ports.coordinator import LeaseRef
from jobkit.ports.inspection import DeadLetter, JobRecord, JobState, KeyRecord, LoggedEntry, ParkedKey, StoreCounts
from jobkit.ports.planes import Planes
from jobkit.ports.store import OutboxEntry
from jobkit.telemetry import Telemetry
from tests.faults.doubles import Faults, faulty_planes
from tests.steps import Step, loose, step
from tests.virtual_site import Site, in_virtual_time, open_site

BLOB = BlobRef("a.txt", "t/k/1-n/a.txt", 5, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
KEY = KeyRecord("t", "k", 3, "n", "me", 2, 2, 3, (BLOB,))


def _entry(position: int, job: str, sequence: int | None, token: int) -> LoggedEntry:
    return LoggedEntry(position, "e", b"{}", job, sequence, token, 0.0)


LOG = (_entry(1, "a", 1, 2), _entry(2, "a", 1, 2), _entry(3, "b", 2, 3))


def _job(id: str, state: JobState) -> JobRecord:
    return JobRecord(id, "t", "k", None, state, None, None, 0, (), 0.0, "", None, 0.0, None, None)


class _Records:
    """What a store and its blobs would say."""

    def __init__(
        self,
        *,
        key: KeyRecord = KEY,
        log: Sequence[LoggedEntry] = LOG,
        content: bytes | None = b"hello",
        now: KeyRecord | None = KEY,
        outbox: Sequence[OutboxEntry] = (),
        gaps: Sequence[Sequence[ParkedKey]] = ((), ()),
        dropped: Mapping[str, int] | None = None,
        objects: Sequence[str] = (BLOB.location,),
        jobs: Sequence[str] = (),
    ) -> None:
        self._objects, self._jobs = objects, jobs
        self._dropped = dropped or {}
        self._key, self._log, self._content, self._now, self._outbox = key, log, content, now, outbox
        self._gaps = iter(gaps)

    async def layouts(self) -> Mapping[str, Layout]:
        return {}

    async def keys(self, *, after: tuple[str, str], limit: int) -> Sequence[KeyRecord]:
        return [self._key] if after < ("t", "k") else []

    async def key(self, type: str, key: str) -> KeyRecord | None:
        return self._now

    async def log(self, type: str, key: str, *, after: int, limit: int) -> Sequence[LoggedEntry]:
        # Two a page, so that what spans a page is seen too.
        return [entry for entry in self._log if entry.position > after][:2]

    async def read(self, location: str) -> AsyncIterator[bytes]:
        if self._content is None:
            raise FileNotFoundError(location)
        for byte in self._content:
            yield bytes([byte])

    async def outbox(self, *, older_than: float, limit: int, after: int = 0) -> Sequence[OutboxEntry]:
        return self._outbox

    async def gaps(self, *, after: tuple[str, str], limit: int) -> Sequence[ParkedKey]:
        return [] if after > ("", "") else next(self._gaps)

    async def dead(self, *, limit: int, after: int) -> Sequence[DeadLetter]:
        return []

    async def counts(self) -> StoreCounts:
        return StoreCounts({}, 0, 0, 0, 0, 0)

    async def depths(self) -> Sequence[QueueDepth]:
        return []

    async def dropped(self) -> Mapping[str, int]:
        return self._dropped

    async def horizon(self) -> int:
        return 0

    async def jobs(
        self, *, type: str | None = None, key: str | None = None, state: JobState, limit: int
    ) -> Sequence[JobRecord]:
        return [_job(id, state) for id in self._jobs] if (type, key, state) == ("t", "k", JobState.QUEUED) else []

    async def objects(self) -> AsyncIterator[StoredObject]:
        for location in self._objects:
            yield StoredObject(location, 5)

    async def leases(self) -> Sequence[LeaseRef]:
        return []


async def _findings(**records: Any) -> list[Violation]:
    plane = cast(Any, _Records(**records))
    return list((await verify(Planes(plane, plane, plane, plane, plane))).findings)


async def test_what_is_in_order_has_no_findings() -> None:
    plane = cast(Any, _Records())
    verdict = await verify(Planes(plane, plane, plane, plane, plane))
    assert (verdict.keys, verdict.entries, verdict.blobs, list(verdict.findings)) == (1, 3, 1, [])


DAMAGE: dict[str, tuple[dict[str, Any], str, str]] = {
    "a hole in a log": ({"log": (LOG[0], LOG[2])}, "nothing-lost", "jumps from 1 to 3"),
    "a log that is too short": ({"log": LOG[:2]}, "nothing-lost", "2 of 3 entries"),
    "a token that falls": ({"log": (LOG[0], LOG[1], replace(LOG[2], token=1))}, "fencing", "token 1 after 2"),
    "a token above the mark": (
        {"log": (LOG[0], LOG[1], replace(LOG[2], token=9))},
        "fencing",
        "the mark is 3, but token 9",
    ),
    "a job that committed twice": (
        {"log": (*LOG, _entry(4, "a", 3, 3)), "key": replace(KEY, log_length=4, submitted_sequence=3)},
        "single-effect",
        "job a is in the log again at 4",
    ),
    "a sequence that came twice": (
        {"log": (LOG[0], LOG[1], replace(LOG[2], sequence=1))},
        "order",
        "sequence 1 after 1",
    ),
    "a sequence nobody gave out": ({"key": replace(KEY, committed_sequence=7)}, "order", "sequence 7 took effect"),
    "a file that is missing": ({"content": None}, "nothing-lost", "not at t/k/1-n/a.txt"),
    "a file that was altered": ({"content": b"hallo"}, "nothing-lost", "was altered"),
    "a file that was cut off": ({"content": b"hell"}, "nothing-lost", "4 bytes, expected 5"),
}


@pytest.mark.parametrize(("records", "invariant", "problem"), DAMAGE.values(), ids=DAMAGE.keys())
async def test_each_kind_of_damage_is_found_under_the_name_of_its_invariant(
    records: dict[str, Any], invariant: str, problem: str
) -> None:
    findings = await _findings(**records)
    assert [finding.invariant for finding in findings] == [invariant]
    assert problem in findings[0].problem
    assert findings[0].where == "t/k"


GAP = ParkedKey("t", "k", expected=3, first=4, parked=2, reason="waits for sequence 3", since=0.0)


async def test_a_key_that_stands_still_before_and_after_everything_was_read_is_a_gap() -> None:
    (gap,) = await _findings(gaps=[[GAP], [replace(GAP, parked=5)]])
    assert (gap.invariant, gap.where, gap.repair) == ("order", "t/k", None)
    assert "sequence 3 is missing, 5 jobs from 4 on are parked" in gap.problem


@pytest.mark.parametrize("gaps", [[[GAP], []], [[], [GAP]], [[GAP], [replace(GAP, expected=4)]]])
async def test_a_gap_that_closes_or_opens_while_everything_is_read_is_none_yet(gaps: list[list[ParkedKey]]) -> None:
    assert await _findings(gaps=gaps) == []


async def test_what_moved_on_while_it_was_read_is_no_damage() -> None:
    later = replace(KEY, token=9, manifest=())
    assert await _findings(log=(LOG[0], LOG[1], replace(LOG[2], token=9)), now=later) == []
    assert await _findings(content=None, now=later) == []


ABOVE = ("t/k/1-n/a.txt", "t/k/57-m/a.txt", "t/k/3-n/b.txt", "not/ours", "t/other/2-n/a.txt")


async def test_files_above_the_mark_tell_that_the_store_was_restored_and_which_jobs_run_again() -> None:
    (found,) = await _findings(objects=ABOVE, jobs=["a", "b"])
    assert (found.invariant, found.where, found.repair) == ("single-effect", "t/k", None)
    assert "token 57, and the store knows of 3 at most" in found.problem
    assert found.problem.endswith("run again: a, b")


@pytest.mark.parametrize(
    "records",
    [
        {"objects": ABOVE},
        {"objects": ("t/k/3-n/a.txt",), "jobs": ["a"]},
        {"objects": ABOVE, "jobs": ["a"], "now": replace(KEY, token=57)},
        {"objects": ABOVE, "jobs": ["a"], "now": None},
    ],
    ids=["all jobs have ended", "no file above the mark", "the mark has risen meanwhile", "the key is unknown"],
)
async def test_files_of_attempts_that_the_store_knows_or_whose_jobs_have_ended_are_no_finding(
    records: dict[str, Any],
) -> None:
    assert await _findings(**records) == []


@in_virtual_time
async def test_a_job_that_nobody_publishes_is_found_after_a_minute() -> None:
    async with open_site(step) as site:
        await site.planes.store.submit([site.client.job("step", Step(), id="stuck")])
        assert list((await verify(site.planes)).findings) == []
        await site.clock.sleep(61)
        (finding,) = (await verify(site.planes)).findings
        assert (finding.invariant, finding.where) == ("nothing-lost", "job stuck")
        assert finding.repair == Repair(Action.PUBLISH)


async def _steal(site: Site, partition: Partition, count: int) -> None:
    """Take messages out of a queue as no worker would, as a purge does."""
    async with site.planes.broker.consume(partition, "thief") as consumer:
        for delivery in await consumer.receive(count):
            await consumer.ack(delivery, Receipt(str(delivery.tag), "stolen"))


@in_virtual_time
async def test_jobs_whose_messages_are_gone_are_named_and_those_on_their_way_are_not() -> None:
    async with open_site(step, loose, relay_grace=1.0) as site:
        jobs = [site.client.job("step", Step(number=number), id=f"j{number}") for number in range(5)]
        await site.client.submit_many(jobs)
        await site.planes.store.submit([site.client.job("step", Step(number=9), id="in the outbox")])
        verdict = await verify(site.planes, clock=site.clock)
        assert verdict.findings == []
        assert (verdict.places["queues"].jobs, verdict.places["outbox"].ids) == (5, ["in the outbox"])
        here = Partition("step", partition_of("k", site.settings.partitions))
        await _steal(site, here, 2)
        (finding,) = (await verify(site.planes, clock=site.clock)).findings
        assert (finding.invariant, finding.where) == ("nothing-lost", f"queue {here}")
        assert finding.repair == Repair(Action.REPUBLISH, "step", partition=here.index)
        assert "2 jobs have neither a message" in finding.problem
        assert "among j0, j1, j2, j3, j4;" in finding.problem


@in_virtual_time
async def test_what_waits_in_another_queue_hides_no_lost_job() -> None:
    async with open_site(step, loose, relay_grace=1.0) as site:
        await site.client.submit("step", Step(), id="lost")
        foreign = Partition("loose", 0)
        await site.client.submit_many([site.client.job("loose", Step(on=f"k{number}")) for number in range(9)])
        for number in range(9):
            await site.planes.broker.publish([(foreign, Envelope(f"foreign-{number}", "loose", b"{}"))])
        here = Partition("step", partition_of("k", site.settings.partitions))
        await _steal(site, here, 1)
        (finding,) = (await verify(site.planes, clock=site.clock)).findings
        assert finding.where == f"queue {here}"
        assert "They are lost;" in finding.problem


@in_virtual_time
async def test_a_lost_job_is_published_again_by_the_repair_and_runs_once() -> None:
    async with open_site(step, relay_grace=1.0) as site:
        await site.client.submit_many([site.client.job("step", Step(number=number)) for number in range(5)])
        here = Partition("step", partition_of("k", site.settings.partitions))
        await _steal(site, here, 2)
        (finding,) = (await verify(site.planes, clock=site.clock)).findings
        assert finding.repair
        relay = Relay(
            site.planes.store,
            site.planes.broker,
            layouts=Layouts(site.planes.store, site.settings.partitions, site.clock),
            clock=site.clock,
            telemetry=Telemetry(),
        )
        for _ in range(2):
            await carry_out(finding.repair, site.planes, cast(Any, None), relay, {})
        site.start()
        await site.at_rest()
        counts = await site.planes.inspection.counts()
        assert counts.jobs[JobState.COMMITTED] == 5
        assert len(await site.planes.inspection.log("step", "k")) == 5


async def test_what_the_broker_dropped_out_of_its_queues_is_found() -> None:
    (finding,) = await _findings(dropped={"t": 3, "u": 0})
    assert (finding.invariant, finding.where, finding.repair) == ("nothing-lost", "type t", None)
    assert "3 messages" in finding.problem


@in_virtual_time
async def test_a_live_system_under_load_has_no_findings_at_any_moment() -> None:
    @processor("slow", key=lambda job: job.on, ordered=True)
    async def slow(job: Step, ctx: Context) -> None:
        ctx.append("step", job)
        await ctx.clock.sleep(0.3)

    async with open_site(slow, delivery_hold=1.0, concurrency=4) as site:
        site.start("a")
        site.start("b")
        for number in range(40):
            await site.client.submit("slow", Step(on=f"k{number % 7}", number=number))
            assert (await verify(site.planes, clock=site.clock)).findings == []
        await site.at_rest()


@in_virtual_time
async def test_queues_that_cannot_be_read_are_said_so_and_the_rest_is_read() -> None:
    async with open_site(step) as site:
        await site.client.submit("step", Step())
        faults = Faults(site.clock)
        seen = faulty_planes(site.planes, faults)
        faults.cut_off()
        planes = replace(site.planes, broker=seen.broker)
        verdict = await verify(planes, clock=site.clock)
        assert (verdict.keys, list(verdict.findings)) == (1, [])
        assert "broker" in verdict.unread[0]


@in_virtual_time
async def test_a_log_longer_than_a_page_is_read_whole() -> None:
    @processor("wordy", key=lambda job: job.on)
    async def wordy(job: Step, ctx: Context) -> None:
        for number in range(600):
            ctx.append("word", {"number": number})

    async with open_site(wordy) as site:
        site.start()
        await site.client.submit_many([site.client.job("wordy", Step(number=number)) for number in (1, 2)])
        await site.at_rest()
        verdict = await verify(site.planes)
        assert (verdict.keys, verdict.entries, list(verdict.findings)) == (1, 1_200, [])
