"""Troubles of the moment: each ends in a `Retry`, leaves nothing running, and never half a result."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest
from transcode_bench import FFMPEG, Desk, Samples, ScriptedClock, alive, children, command_line, script

from jobkit import Reject, Retry
from jobkit.errors import LeaseLost
from workers.transcode import TranscodeResult
from workers.transcode.child import child_command
from workers.transcode.errors import (
    DiskFull,
    FfmpegFailed,
    Killed,
    OutputInvalid,
    OutputUnfit,
    PackagingFailed,
    ProbeFailed,
    SourceChanged,
    Stalled,
    TookTooLong,
)
from workers.transcode.probe import probe_command


@pytest.fixture
def source(desk: Desk, samples: Samples) -> str:
    return desk.place(samples.plain())


def wrap(desk: Desk, text: str) -> None:
    """Put a script in the place of ffmpeg; `$FFMPEG` is the real one."""
    desk.settings["ffmpeg"] = script(desk.sources.parent / "fake-ffmpeg", f"FFMPEG='{FFMPEG}'\n{text}")


def in_real_time(desk: Desk) -> None:
    """Make ffmpeg read its input no faster than it plays, so that there is time to interfere."""
    wrap(desk, 'exec "$FFMPEG" -re "$@"')


async def encoding() -> int:
    """Wait until ffmpeg is at work, and return its process id."""
    with anyio.fail_after(20):
        while True:
            for pid, command in children().items():
                if "-filter_complex" in command and "-re" in command and "fake-ffmpeg" not in command:
                    return pid
            await anyio.sleep(0.02)


def nothing_is_left(desk: Desk) -> None:
    assert desk.outputs() == []
    assert desk.left_behind() == []
    assert children() == {}


@pytest.mark.parametrize("which", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
async def test_ffmpeg_that_is_killed_is_tried_again(desk: Desk, source: str, which: signal.Signals) -> None:
    in_real_time(desk)
    failures: list[Exception] = []

    async def run() -> None:
        try:
            await desk.run(source)
        except Killed as error:
            failures.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        os.kill(await encoding(), which)
    assert isinstance(failures[0], Retry)
    nothing_is_left(desk)


async def test_cancelled_job_leaves_nothing_running(desk: Desk, source: str) -> None:
    in_real_time(desk)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.run, source)
        pid = await encoding()
        tasks.cancel_scope.cancel()
    assert not alive(pid)
    nothing_is_left(desk)


async def test_lost_lease_ends_the_work_and_arrives_bare(desk: Desk, source: str) -> None:
    in_real_time(desk)
    failures: list[Exception] = []

    async def run() -> None:
        try:
            await desk.run(source)
        except LeaseLost as error:
            failures.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        pid = await encoding()
        desk.store.holds_lease = False
    assert len(failures) == 1
    assert not alive(pid)
    nothing_is_left(desk)


def clock_that_races(desk: Desk) -> ScriptedClock:
    """Return a clock that runs fast from the moment the false ffmpeg has touched `started`."""
    started = desk.sources.parent / "started"
    readings = itertools.count()
    return ScriptedClock(lambda: float(next(readings)) if started.exists() else 0.0)


async def test_stalled_ffmpeg_is_tried_again(desk: Desk, source: str) -> None:
    desk.clock = clock_that_races(desk)
    wrap(desk, f"trap '' TERM; touch '{desk.sources.parent}/started'; while :; do sleep 0.1; done")
    with pytest.raises(Stalled, match="ffmpeg made no progress for 60 s"):
        await desk.run(source)
    nothing_is_left(desk)


async def test_endless_ffmpeg_is_tried_again(desk: Desk, source: str) -> None:
    desk.clock = clock_that_races(desk)
    desk.settings.update(timeout=100, stall_timeout=1e6)
    blocks = "n=0; while :; do n=$((n+1)); echo frame=$n; echo progress=continue; sleep 0.1; done"
    wrap(desk, f"touch '{desk.sources.parent}/started'; {blocks}")
    with pytest.raises(TookTooLong, match="ffmpeg took longer than 100 s"):
        await desk.run(source)
    nothing_is_left(desk)


async def test_full_disk_is_tried_again(desk: Desk, source: str) -> None:
    wrap(desk, 'ln -s /dev/full 180p.mp4; exec "$FFMPEG" "$@"')
    with pytest.raises(FfmpegFailed, match="No space left on device"):
        await desk.run(source)
    nothing_is_left(desk)


async def test_lack_of_memory_is_tried_again(desk: Desk, source: str) -> None:
    wrap(desk, 'ulimit -v 200000; exec "$FFMPEG" "$@"')
    with pytest.raises(Retry, match=r"ffmpeg"):
        await desk.run(source)
    nothing_is_left(desk)


async def test_ffmpeg_that_cannot_be_run_is_tried_again(desk: Desk, source: str) -> None:
    wrap(desk, "exit 126")
    with pytest.raises(FfmpegFailed, match="code 126"):
        await desk.run(source)
    nothing_is_left(desk)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("[ -e poster.jpg ] || truncate -s -3000 180p.mp4", "180p.mp4"),
        ("[ ! -e poster.jpg ] || head -c 200 poster.jpg > p && mv p poster.jpg", "poster.jpg"),
    ],
)
async def test_output_that_is_damaged_is_never_stored(desk: Desk, source: str, damage: str, said: str) -> None:
    wrap(desk, f'"$FFMPEG" "$@" || exit 1; {damage}; exit 0')
    with pytest.raises(Retry, match=said):
        await desk.run(source, poster_at=timedelta(seconds=1))
    nothing_is_left(desk)


def wrap_packaging(desk: Desk, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Run a script behind the packaging process."""
    fake = script(desk.sources.parent / "fake-packaging", f'"$@" || exit 1; {text}; exit 0')
    monkeypatch.setattr(
        "workers.transcode.packaging.child_command",
        lambda module, arguments: [fake, *child_command(module, arguments)],
    )


@pytest.mark.parametrize(
    "damage", ["rm hls/180p/00001.m4s", "rm hls/audio/init.mp4", "sed -i s/ENDLIST/X/ hls/180p/index.m3u8"]
)
async def test_package_that_is_not_whole_is_tried_again(
    desk: Desk, source: str, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    wrap_packaging(desk, monkeypatch, damage)
    with pytest.raises(OutputInvalid, match="hls/"):
        await desk.run(source)
    nothing_is_left(desk)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("cp hls/180p/00000.m4s hls/180p/00001.m4s", "begins at 0.000 s, the playlist says 1.000 s"),
        ("cp hls/audio/00000.m4s hls/audio/00001.m4s", "begins at 0.000 s"),
        ("sed -i 's/EXTINF:1.0*/EXTINF:1.1/' hls/180p/index.m3u8", "the playlist says 1.1"),
        ("sed -i s/00001/00000/ hls/180p/index.m3u8", "begins at 0.000 s"),
        ("cp hls/180p/init.mp4 hls/audio/init.mp4", "init segment does not hold the one track"),
    ],
)
async def test_package_that_plays_otherwise_than_its_rendition_is_refused(
    desk: Desk, source: str, monkeypatch: pytest.MonkeyPatch, damage: str, said: str
) -> None:
    wrap_packaging(desk, monkeypatch, damage)
    with pytest.raises(OutputUnfit, match="not tried again") as caught:
        await desk.run(source)
    assert said in str(caught.value)
    assert isinstance(caught.value, Reject)
    nothing_is_left(desk)


async def test_packaging_process_that_fails_is_tried_again_with_its_words(
    desk: Desk, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file where a folder is to be made.
    monkeypatch.setattr("workers.transcode.packaging.sound_folder", lambda: "180p.mp4")
    with pytest.raises(PackagingFailed, match=r"180p\.mp4: File exists"):
        await desk.run(source)
    nothing_is_left(desk)


async def test_full_disk_is_told_as_such(desk: Desk, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.transcode.disk.is_full", lambda _: True)
    wrap(desk, "exit 1")
    with pytest.raises(DiskFull, match=r"disk is full where jobs work .*ffmpeg ended with code 1"):
        await desk.run(source)
    nothing_is_left(desk)


async def test_no_encode_is_begun_without_room_for_it(desk: Desk, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DiskFull, match="no room for the renditions"):
        await desk.run(source)
    nothing_is_left(desk)


async def test_output_that_is_missing_is_a_planned_outcome(desk: Desk, source: str) -> None:
    wrap(desk, "exit 0")
    with pytest.raises(OutputUnfit, match=r"ffmpeg wrote no 180p\.mp4"):
        await desk.run(source)
    nothing_is_left(desk)


async def test_output_of_the_wrong_kind_is_never_stored(desk: Desk, source: str, samples: Samples) -> None:
    other = samples.make("silent-square.mp4", size="100x100", sound=None, seconds=1)
    wrap(desk, f'"$FFMPEG" "$@" || exit 1; [ -e poster.jpg ] || cp "{other}" 180p.mp4')
    with pytest.raises(OutputUnfit) as caught:
        await desk.run(source, hls=False)
    for words in ("100x100, not 320x180", "lasts 1.00 s", "no sound"):
        assert words in str(caught.value)
    nothing_is_left(desk)


async def test_source_that_is_deleted_in_the_middle_is_still_done(desk: Desk, source: str) -> None:
    in_real_time(desk)
    results: list[TranscodeResult] = []

    async def run() -> None:
        results.append(await desk.run(source))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await encoding()
        await anyio.Path(source).unlink()
    assert results[0].renditions[0].duration == pytest.approx(2, abs=0.1)


async def test_source_that_is_overwritten_in_the_middle_is_tried_again(desk: Desk, source: str) -> None:
    in_real_time(desk)
    failures: list[Exception] = []

    async def run() -> None:
        try:
            await desk.run(source)
        except SourceChanged as error:
            failures.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await encoding()
        content = await anyio.Path(source).read_bytes()
        await anyio.Path(source).write_bytes(content + b"\0" * 100)
    assert len(failures) == 1
    nothing_is_left(desk)


async def test_source_that_is_still_being_written_is_not_rejected(
    desk: Desk, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = samples.cut(samples.plain(), 0.5)
    path = desk.place(part)
    # The upload goes on while the source is looked into.
    growing = script(desk.sources.parent / "grow", f"echo more >> '{path}'; exec \"$@\"")
    monkeypatch.setattr("workers.transcode.probe.probe_command", lambda tasks: [growing, *probe_command(tasks)])
    with pytest.raises(SourceChanged):
        await desk.run(path)


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        ("kill -SEGV $$", Killed),
        ("echo oh dear >&2; exit 1", ProbeFailed),
        ("exit 0", ProbeFailed),
        ("echo nonsense", ProbeFailed),
        ("echo []", ProbeFailed),
        ('echo \'{"facts": {"container": "mov"}}\'', ProbeFailed),
        ('echo \'{"beat": "soon"}\'', ProbeFailed),
        ("sleep 617", Stalled),
    ],
)
async def test_probe_that_crashes_hangs_or_lies_is_tried_again(
    desk: Desk, source: str, monkeypatch: pytest.MonkeyPatch, behaviour: str, outcome: type[Exception]
) -> None:
    if outcome is Stalled:
        desk.settings["stall_timeout"] = 0.6
    fake = script(desk.sources.parent / "fake-probe", behaviour)
    monkeypatch.setattr("workers.transcode.probe.probe_command", lambda _: [fake])
    with pytest.raises(outcome) as caught:
        await desk.run(source)
    assert isinstance(caught.value, Retry)
    nothing_is_left(desk)


WORKER = """
import sys, anyio
from pathlib import Path
from types import SimpleNamespace
sys.path.insert(0, sys.argv[1])
from transcode_bench import Desk
desk = Desk(Path(sys.argv[2]))
desk.settings["ffmpeg"] = sys.argv[3]
anyio.run(desk.run, desk.place(Path(sys.argv[4])))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child's life to its parent's")
async def test_ffmpeg_dies_with_a_killed_worker(desk: Desk, source: str, tmp_path: Path) -> None:
    in_real_time(desk)
    (tmp_path / "worker").mkdir()
    here = str(Path(__file__).parent)
    arguments = [here, str(tmp_path / "worker"), str(desk.settings["ffmpeg"]), source]
    worker = await anyio.open_process(
        [sys.executable, "-c", WORKER, *arguments], stdout=subprocess.DEVNULL, stderr=None
    )
    async with worker:
        pid = await encoding()
        worker.kill()
        await worker.wait()
        with anyio.fail_after(10):
            while alive(pid):  # noqa: ASYNC110  (the kernel does it, which sets no event)
                await anyio.sleep(0.01)
    assert "ffmpeg" not in command_line(pid)
