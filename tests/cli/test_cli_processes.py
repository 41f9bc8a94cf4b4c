"""Real processes: signals, closed pipes, streams, and how soon help is there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from jobkit.ports.inspection import JobState
from tests.cli.world import COMMAND, World, environment


def _run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], env=environment(**variables), capture_output=True, text=True, timeout=60, check=False
    )


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_help_loads_nothing_that_takes_long() -> None:
    code = "import sys, jobkit.cli.app; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = (
        "sqlite3",
        "uvicorn",
        "starlette",
        "jobkit.backends.registry",
        "jobkit.plugin",
        "jobkit.ports",
        "opentelemetry",
        "pydantic",
        "rich",
        "structlog",
        "anyio",
    )
    assert [name for name in heavy if name in modules] == []


def test_the_version_is_printed() -> None:
    from jobkit.distribution import installed_version

    done = _run("--version")
    assert (done.returncode, done.stdout) == (0, f"jobkit {installed_version()}\n")


def test_a_closed_pipe_is_nothing_to_talk_about(world: World) -> None:
    world.accepted("note", {"about": "tea"})
    for words in (("jobs",), ("jobs", "--json"), ("config", "show"), ("config", "reference"), ("doctor",)):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([*COMMAND, *words], env=environment(), stdout=writer, stderr=subprocess.PIPE, check=False)
        os.close(writer)
        assert (done.returncode, done.stderr) == (141, b""), words


def test_head_gets_its_lines_and_nobody_complains(world: World) -> None:
    for number in range(20):
        world.accepted("note", {"about": f"subject {number}"})
    line = f"{sys.executable} -m jobkit jobs | head -n 1"
    done = subprocess.run(["sh", "-c", line], env=environment(), capture_output=True, text=True, check=False)  # noqa: S607
    assert done.stdout.split()[0] == "ID"
    assert done.stderr == ""


def test_ctrl_c_while_waiting_leaves_the_job_alone(world: World, tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    with errors.open("wb") as stderr:
        words = ("submit", "note", "--payload", '{"about": "tea"}', "--id", "t-1", "--wait")
        process = subprocess.Popen([*COMMAND, *words], env=environment(), stdout=subprocess.PIPE, stderr=stderr)
    _until(lambda: "no live worker serves" in errors.read_text(), "the command waits")
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stdout == b""
    said = errors.read_text()
    assert said.endswith("no longer waiting; the job goes on: jobkit status t-1\n")
    assert "Traceback" not in said
    job = world.ask(lambda planes: planes.inspection.job("t-1"))
    assert job is not None
    assert job.state is JobState.QUEUED


def test_a_signal_drains_a_worker_and_the_log_says_how(world: World, tmp_path: Path) -> None:
    with world.worker("note") as process:
        _until(lambda: "worker started" in (tmp_path / "worker.log").read_text(), "the worker starts")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    events = [json.loads(line) for line in (tmp_path / "worker.log").read_text().splitlines()]
    (drain,) = [event for event in events if event["event"].startswith("draining")]
    assert drain["seconds"] == 30.0
    assert "a second signal stops at once" in drain["event"]


def test_a_second_signal_ends_a_worker_at_once(world: World, tmp_path: Path) -> None:
    job = world.accepted("note", {"about": "tea", "seconds": 20.0})
    with world.worker("note") as process:

        def running() -> bool:
            record = world.ask(lambda planes: planes.inspection.job(job.id))
            return record is not None and record.state is JobState.RUNNING

        _until(running, "the job runs")
        process.send_signal(signal.SIGTERM)
        _until(lambda: "draining" in (tmp_path / "worker.log").read_text(), "the worker drains")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 128 + signal.SIGTERM


def test_a_third_signal_ends_even_a_worker_whose_loop_is_stuck(world: World, tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(
        "import time\n"
        "from jobkit import Context, Payload, processor\n"
        "class Nothing(Payload):\n"
        "    pass\n"
        "@processor('stuck', key=lambda job: 'one')\n"
        "async def stuck(job: Nothing, ctx: Context) -> None:\n"
        "    open('blocking', 'w').close()\n"
        "    while True:\n"
        "        time.sleep(0.01)\n"
    )
    env = environment(JOBKIT_PLUGINS="stuck")
    # The module lies where the command is run: that is enough for JOBKIT_PLUGINS to find it.
    done = subprocess.run(
        [*COMMAND, "submit", "stuck", "--payload", "{}"], env=env, check=False, stdout=subprocess.DEVNULL
    )
    assert done.returncode == 0
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen([*COMMAND, "worker", "stuck"], env=env, stderr=log)
    try:
        _until((tmp_path / "blocking").exists, "the loop is stuck")

        def ended() -> bool:
            # Again and again: a signal that comes before the one before it was seen is the same signal.
            process.send_signal(signal.SIGTERM)
            return process.poll() is not None

        _until(ended, "the worker ends")
        assert process.returncode == -signal.SIGTERM
    finally:
        process.kill()
        process.wait()


def test_concurrency_can_be_given_to_a_worker(world: World, tmp_path: Path) -> None:
    for number in range(3):
        world.accepted("note", {"about": f"subject {number}", "seconds": 0.4})

    def at_once() -> int:
        return sum(job.state is JobState.RUNNING for job in world.ask(lambda planes: planes.inspection.jobs()))

    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen([*COMMAND, "worker", "note", "--concurrency", "1"], env=environment(), stderr=log)
    try:
        most = 0

        def done() -> bool:
            nonlocal most
            most = max(most, at_once())
            return world.ask(lambda planes: planes.inspection.counts()).jobs.get(JobState.COMMITTED, 0) == 2

        _until(done, "two jobs are done")
        assert most == 1
    finally:
        process.kill()
        process.wait()
