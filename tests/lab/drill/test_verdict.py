"""The judge finds what the incident did, in what was committed and in what the processors wrote down."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from jobkit.backends.registry import memory_planes
from jobkit.lab.drill.environment import Site, WorkerProcess
from jobkit.lab.drill.plugin import TRANSCODE, UPLOAD, Event, session
from jobkit.lab.drill.ticks import SCHEDULE, TickCount, Ticks
from jobkit.lab.drill.verdict import DrillViolation, judge
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.ports.planes import Planes
from jobkit.ports.store import Committed, Effects, LogEntry, Opened

KINDS = {1: "VideoUploadStarted", 4: "VideoUploadCompleted"}


@pytest.fixture
async def planes() -> AsyncIterator[Planes]:
    async with memory_planes() as opened:
        yield opened


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, {}, "", None)


def event(number: int) -> LogEntry:
    kind = KINDS.get(number, "VideoChunkReceived")
    made = Event.model_validate({"session": "s", "number": number, "kind": kind, "chunks": 2})
    return LogEntry(kind, made.model_dump_json().encode())


async def applied(planes: Planes, numbers: Sequence[int], *, transcodes: int = 1) -> None:
    """Write a session whose events took effect in this order, and its transcodes."""
    entries = [event(number) for number in numbers]
    reached = session.advance(session.begin(), entries)
    await _write(planes, UPLOAD, "u", Effects(entries=entries, records={session.record: session.dump(reached)}))
    made = LogEntry("transcoded", json.dumps({"by": "somebody", "token": 1}).encode())
    await _write(planes, TRANSCODE, "t", Effects(entries=[made] * transcodes))


async def _write(planes: Planes, type: str, id: str, effects: Effects) -> None:
    envelope, fence = Envelope(id=id, type=type, body=b"{}", key="s"), Fence(1, "n", "me")
    assert isinstance(await planes.store.open(envelope, fence), Opened)
    assert isinstance(await planes.store.commit(envelope, fence, effects), Committed)


async def found(planes: Planes, site: Site) -> list[tuple[str, str]]:
    return [(one.invariant, one.what) for one in (await judge(planes, site, {"s": 2})).violations]


async def test_a_session_as_it_should_be_breaks_nothing(planes: Planes, site: Site) -> None:
    await applied(planes, [1, 2, 3, 4])
    judged = await judge(planes, site, {"s": 2})
    assert (judged.events, judged.sessions, judged.transcodes) == (4, 1, 1)
    assert (judged.violations, judged.corrupted_sessions) == ([], 0)


@pytest.mark.parametrize(
    ("numbers", "violations", "corrupted"),
    [
        ([1, 4, 2, 3], [("order", "event 2 took effect after 4"), ("order", "event 3 took effect after 4")], 1),
        ([1, 2, 2, 3, 4], [("single-effect", "event 2 took effect again")], 1),
        ([1, 2, 4], [("nothing-lost", "1 events never took effect")], 1),
        ([1, 3, 2, 4], [("order", "event 2 took effect after 3")], 0),
    ],
)
async def test_what_the_incident_did_to_sessions_is_found(
    planes: Planes, site: Site, numbers: list[int], violations: list[tuple[str, str]], corrupted: int
) -> None:
    await applied(planes, numbers)
    assert await found(planes, site) == violations
    assert (await judge(planes, site, {"s": 2})).corrupted_sessions == corrupted


async def test_a_video_that_was_transcoded_twice_is_found(planes: Planes, site: Site) -> None:
    await applied(planes, [1, 2, 3, 4], transcodes=2)
    assert await found(planes, site) == [("single-effect", "transcoded again, by somebody")]


# ---- two at once -------------------------------------------------------------------------------------------------


def trace(site: Site, *lines: tuple[float, str, int]) -> None:
    """Write when runs of two processes on one key began and ended."""
    with site.trace.open("w") as out:
        for at, what, pid in lines:
            entry = {"at": at, "what": what, "run": f"r{pid}", "pid": pid, "type": "t", "key": "k", "job": "j"}
            out.write(json.dumps(entry) + "\n")


def paused(site: Site, pid: int, *spans: tuple[float, float]) -> None:
    process = cast("subprocess.Popen[bytes]", type("Process", (), {"pid": pid}))
    site.workers.append(WorkerProcess("w", "far", 0, site.directory / "w.log", {}, process, list(spans)))


async def at_once(planes: Planes, site: Site) -> list[DrillViolation]:
    return list((await judge(planes, site, {})).violations)


async def test_two_who_work_on_one_key_at_the_same_time_are_found(planes: Planes, site: Site) -> None:
    trace(site, (0, "begin", 1), (5, "begin", 2), (9, "end", 1), (12, "end", 2))
    (violation,) = await at_once(planes, site)
    assert (violation.invariant, violation.where) == ("no-lease-no-work", "t/k")


async def test_one_after_another_is_in_order(planes: Planes, site: Site) -> None:
    trace(site, (0, "begin", 1), (5, "end", 1), (5, "begin", 2), (12, "end", 2))
    assert await at_once(planes, site) == []


async def test_who_was_paused_could_not_know_and_has_a_moment_to_notice(planes: Planes, site: Site) -> None:
    paused(site, 1, (2, 10))
    trace(site, (0, "begin", 1), (5, "begin", 2), (11, "end", 1), (12, "end", 2))
    assert await at_once(planes, site) == []
    trace(site, (0, "begin", 1), (5, "begin", 2), (15, "end", 1), (15, "end", 2))
    assert len(await at_once(planes, site)) == 1


async def test_who_was_not_paused_may_be_a_little_late_and_no_more(planes: Planes, site: Site) -> None:
    trace(site, (0, "begin", 1), (5, "begin", 2), (5.2, "end", 1), (12, "end", 2))
    assert await at_once(planes, site) == []
    trace(site, (0, "begin", 1), (5, "begin", 2), (5.8, "end", 1), (12, "end", 2))
    assert len(await at_once(planes, site)) == 1


async def test_a_partition_that_two_led_at_the_same_time_is_found_once(planes: Planes, site: Site) -> None:
    paused(site, 1)
    case = {"timestamp": "2026-01-02T03:04:05Z", "event": "split brain", "worker": "a", "other": "b"}
    lines = [
        {**case, "kind": "overlap", "resource": "t/k"},
        {**case, "kind": "two_leaders", "resource": "leader/t/1"},
        {**case, "kind": "two_leaders", "resource": "leader/t/1"},
    ]
    text = "not JSON\n" + "".join(json.dumps(line) + "\n" for line in lines) + '{"kind": "two_leaders", "reso'
    (site.directory / "w.log").write_text(text)
    (violation,) = await at_once(planes, site)
    assert (violation.where, violation.what) == ("leader/t/1", "a and b led it at the same time")
    assert violation.at == 1767323045.0


async def test_a_lecture_is_transcoded_once(planes: Planes, site: Site) -> None:
    async def lecture(name: str) -> list[str]:
        return [one.what for one in (await judge(planes, site, {}, [name])).violations]

    assert await lecture("s") == ["was never transcoded"]
    made = LogEntry("transcoded", json.dumps({"by": "somebody", "token": 1}).encode())
    await _write(planes, TRANSCODE, "t", Effects(entries=[made]))
    assert await lecture("s") == []
    await _write(planes, TRANSCODE, "u", Effects(entries=[made]))
    assert await lecture("s") == ["transcoded again, by somebody"]


async def test_ticks_that_fired_again_never_or_after_the_schedule_was_gone_are_found(planes: Planes) -> None:
    made = LogEntry("transcoded", b"{}")
    fired = [(f"{SCHEDULE}@1970-01-01T00:00:0{second}Z", count) for second, count in ((1, 1), (2, 2), (9, 1))]
    for token, (id, count) in enumerate(fired, start=1):
        envelope, fence = Envelope(id=id, type=TRANSCODE, body=b"{}", key=SCHEDULE), Fence(token, f"n{token}", "me")
        assert isinstance(await planes.store.open(envelope, fence), Opened)
        assert isinstance(await planes.store.commit(envelope, fence, Effects(entries=[made] * count)), Committed)
    counted = await Ticks(since=0.0, until=3.0).count(planes)
    assert counted == TickCount(3, (fired[1][0], fired[2][0]), (f"{SCHEDULE}@1970-01-01T00:00:03Z",))
    assert not counted.once
