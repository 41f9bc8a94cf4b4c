"""The supervisor, with shell scripts in the place of ffmpeg: nothing may be left running, whatever happens."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
import structlog
from transcode_bench import ScriptedClock, alive, children, script

from jobkit.model.clock import Clock, SystemClock
from workers.transcode.errors import Killed, Stalled, TookTooLong, TranscodeFailed
from workers.transcode.process import Bounds, Finished, Limits, Supervisor, launched

LIMITS = Limits(memory_mb=2048, cpu_seconds=60, file_mb=100, nice=3)
BOUNDS = Bounds(stall=20, total=60, grace=0.5)


class FakeLease(Exception):
    pass


async def never() -> None:
    await anyio.sleep_forever()


def supervisor(limits: Limits = LIMITS, bounds: Bounds = BOUNDS, clock: Clock | None = None) -> Supervisor:
    return Supervisor(limits, bounds, clock or SystemClock(), structlog.get_logger())


def stalled_after(lines: list[str], grace: float = 0.5) -> Supervisor:
    """Return a supervisor on whose clock, soon after the first line, the stall timeout is over."""
    readings = itertools.count()
    clock = ScriptedClock(lambda: float(next(readings)) if lines else 0.0)
    return supervisor(bounds=Bounds(stall=20, total=10_000, grace=grace), clock=clock)


async def run(
    path: Path,
    text: str,
    *,
    by: Supervisor | None = None,
    lines: list[str] | None = None,
    pass_fds: tuple[int, ...] = (),
) -> Finished:
    seen = lines if lines is not None else []

    def on_line(line: str) -> bool:
        seen.append(line)
        return True

    command = script(path / "fake-ffmpeg", text)
    return await (by or supervisor()).run([command], cwd=path, name="ffmpeg", on_line=on_line, pass_fds=pass_fds)


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110  (another process does it, which sets no event)
            await anyio.sleep(0.01)


async def test_lines_and_the_end_of_stderr_come_back(tmp_path: Path) -> None:
    lines: list[str] = []
    finished = await run(
        tmp_path, "echo one; printf 'two\\nthr'; printf 'ee\\n'; echo trouble >&2; exit 3", lines=lines
    )
    assert lines == ["one", "two", "three"]
    assert finished == Finished(3, "trouble")


async def test_only_the_end_of_an_endless_complaint_is_kept(tmp_path: Path) -> None:
    finished = await run(tmp_path, "yes complaint | head -c 1000000 >&2; echo last >&2")
    assert len(finished.stderr) < 10_000
    assert finished.stderr.endswith("last")


async def test_endless_line_is_an_error_not_a_full_memory(tmp_path: Path) -> None:
    with pytest.raises(TranscodeFailed, match="line of more than"):
        await run(tmp_path, "head -c 100000000 /dev/zero")


async def test_limits_reach_the_program(tmp_path: Path) -> None:
    lines: list[str] = []
    text = "ulimit -v; ulimit -t; ulimit -f; ulimit -c; cat /proc/self/oom_score_adj; nice"
    await run(tmp_path, text, lines=lines)
    # ulimit counts address space in KiB, files in blocks of 512 bytes.
    assert lines == [str(2048 * 1024), "60", str(100 * 2048), "0", "500", str(os.nice(0) + 3)]


async def test_a_program_that_wants_more_memory_fails_alone(tmp_path: Path) -> None:
    code = "print('start'); bytearray(600 * 1024 * 1024)"
    command = [sys.executable, "-c", code]
    by = supervisor(replace(LIMITS, memory_mb=300))
    finished = await by.run(command, cwd=tmp_path, name="child", on_line=lambda _: True)
    assert finished.code == 1
    assert "MemoryError" in finished.stderr


async def test_a_file_that_grows_too_large_is_an_error_with_a_message(tmp_path: Path) -> None:
    by = supervisor(replace(LIMITS, file_mb=1))
    code = "open('big', 'wb').write(b'x' * 2_000_000)"
    finished = await by.run([sys.executable, "-c", code], cwd=tmp_path, name="child", on_line=lambda _: True)
    assert finished.code == 1
    assert "File too large" in finished.stderr


async def test_secrets_in_the_environment_do_not_reach_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBKIT_STORE_URL", "postgresql://user:secret@host/db")
    lines: list[str] = []
    await run(tmp_path, "env", lines=lines)
    assert any(line.startswith("PATH=") for line in lines)
    assert not any("JOBKIT" in line or "user:secret" in line for line in lines)


async def test_only_the_given_descriptor_is_inherited(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"content")
    lines: list[str] = []
    with (tmp_path / "source").open("rb") as given, (tmp_path / "source").open("rb") as other:
        os.set_inheritable(other.fileno(), True)
        text = f"cat /dev/fd/{given.fileno()}; echo; [ -e /dev/fd/{other.fileno()} ] || echo no"
        await run(tmp_path, text, lines=lines, pass_fds=(given.fileno(),))
    assert lines == ["content", "no"]


async def test_program_that_cannot_be_run_is_told_by_its_code(tmp_path: Path) -> None:
    command = [str(tmp_path / "missing")]
    finished = await supervisor().run(command, cwd=tmp_path, name="ffmpeg", on_line=lambda _: True)
    assert finished.code == 127
    assert "cannot run" in finished.stderr


async def test_death_by_a_signal_from_outside_is_killed(tmp_path: Path) -> None:
    with pytest.raises(Killed, match="SIGKILL"):
        await run(tmp_path, "kill -KILL $$")


async def test_silent_program_is_stalled(tmp_path: Path) -> None:
    by = supervisor(bounds=replace(BOUNDS, stall=0.4))
    with pytest.raises(Stalled, match=r"ffmpeg made no progress for 0\.4 s"):
        await run(tmp_path, "echo started; sleep 600", by=by)


async def test_lines_that_are_no_progress_do_not_keep_a_program_alive(tmp_path: Path) -> None:
    by = supervisor(bounds=replace(BOUNDS, stall=0.4))
    command = script(tmp_path / "fake", "while :; do echo same; sleep 0.05; done")
    with pytest.raises(Stalled):
        await by.run([command], cwd=tmp_path, name="ffmpeg", on_line=lambda _: False)


async def test_a_sign_of_life_keeps_a_silent_program_alive(tmp_path: Path) -> None:
    moving = tmp_path / "moving"
    seen: list[int] = []

    async def sign() -> object:
        latest = moving.stat().st_mtime_ns if moving.exists() else 0
        if latest not in seen:
            seen.append(latest)
        return latest

    # With each change most of the stall timeout goes by.
    by = supervisor(bounds=replace(BOUNDS, stall=10), clock=ScriptedClock(lambda: 8.0 * len(seen)))
    command = script(tmp_path / "fake", "for i in 1 2 3 4 5 6; do echo $i > moving; sleep 0.1; done")
    finished = await by.run([command], cwd=tmp_path, name="ffmpeg", on_line=lambda _: True, sign_of_life=sign)
    assert finished.code == 0
    assert len(seen) > 2


async def test_busy_program_may_still_take_too_long(tmp_path: Path) -> None:
    by = supervisor(bounds=replace(BOUNDS, total=0.5))
    with pytest.raises(TookTooLong, match=r"longer than 0\.5 s"):
        await run(tmp_path, "while :; do echo $RANDOM; sleep 0.05; done", by=by)


async def test_program_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    lines: list[str] = []
    text = "trap '' TERM; sleep 611 & echo $! > grandchild; echo up; while :; do sleep 0.1; done"
    with pytest.raises(Stalled):
        await run(tmp_path, text, by=stalled_after(lines), lines=lines)
    assert not alive(int((tmp_path / "grandchild").read_text()))
    assert not children()


async def test_program_that_heeds_sigterm_is_not_killed(tmp_path: Path) -> None:
    lines: list[str] = []
    text = "trap 'echo tidy > tidied; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    with pytest.raises(Stalled):
        await run(tmp_path, text, by=stalled_after(lines, grace=20), lines=lines)
    assert (tmp_path / "tidied").exists()


async def test_children_that_outlive_the_program_are_killed_and_do_not_hold_it_up(tmp_path: Path) -> None:
    # The child inherits the pipes: without its death, reading them would never end.
    with anyio.fail_after(10):
        finished = await run(tmp_path, "sleep 612 & echo $! > child; exit 0")
    assert finished.code == 0
    assert not alive(int((tmp_path / "child").read_text()))


async def test_cancelling_kills_the_whole_group_before_it_returns(tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, tmp_path, "trap '' TERM; sleep 613 & echo $! > child; echo $$ > own; wait; wait")
        await until(lambda: (tmp_path / "own").exists() and (tmp_path / "own").read_text())
        tasks.cancel_scope.cancel()
    for name in ("own", "child"):
        assert not alive(int((tmp_path / name).read_text()))
    assert not children()


@pytest.mark.parametrize("moment", range(6))
async def test_cancelling_at_any_moment_of_the_start_leaves_nothing(tmp_path: Path, moment: int) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, tmp_path, "sleep 614")
        for _ in range(moment):
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert not children()


async def test_error_of_a_progress_report_ends_the_run_and_arrives_bare(tmp_path: Path) -> None:
    async def lost() -> None:
        raise FakeLease("taken over")

    command = script(tmp_path / "fake", "echo progress; sleep 615")
    with pytest.raises(FakeLease, match="taken over"):
        await supervisor().run([command], cwd=tmp_path, name="ffmpeg", on_line=lambda _: True, on_progress=lost)
    assert not children()


async def test_slow_progress_report_does_not_look_like_a_stall(tmp_path: Path) -> None:
    lines: list[str] = []

    def on_line(line: str) -> bool:
        lines.append(line)
        return True

    by = supervisor(bounds=replace(BOUNDS, stall=10), clock=ScriptedClock(lambda: 8.0 * len(lines)))
    command = script(tmp_path / "fake", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done")
    with anyio.fail_after(30):
        finished = await by.run([command], cwd=tmp_path, name="ffmpeg", on_line=on_line, on_progress=never)
    assert finished.code == 0
    assert len(lines) == 6


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child's life to its parent's")
async def test_program_dies_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    command = script(tmp_path / "fake", "echo $$ > own; exec sleep 616")
    arguments = json.dumps([command])
    worker = (
        "import anyio, json, structlog, sys; from pathlib import Path; from jobkit.model.clock import SystemClock\n"
        "from workers.transcode.process import *\n"
        "s = Supervisor(Limits(2048, 60, 100, 0), Bounds(60, 60, 1), SystemClock(), structlog.get_logger())\n"
        f"async def main(): await s.run({arguments}, cwd=Path({str(tmp_path)!r}), name='x', on_line=lambda _: True)\n"
        "anyio.run(main)\n"
    )
    process = await anyio.open_process([sys.executable, "-c", worker], stdout=subprocess.DEVNULL, stderr=None)
    async with process:
        await until(lambda: (tmp_path / "own").exists() and (tmp_path / "own").read_text())
        pid = int((tmp_path / "own").read_text())
        assert alive(pid)
        process.kill()
        await process.wait()
        await until(lambda: not alive(pid))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child's life to its parent's")
async def test_program_whose_worker_died_before_it_started_never_runs(tmp_path: Path) -> None:
    command = launched([script(tmp_path / "fake", "touch ran")], LIMITS)
    own = command.index(str(os.getpid()))
    command[own] = "1"  # some other process than the one that really starts it
    done = await anyio.run_process(command, check=False, cwd=tmp_path)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "ran").exists()
