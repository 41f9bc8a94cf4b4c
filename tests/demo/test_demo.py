"""The demo's own judgement: it must see when what it shows did not happen. `make demo` runs the demo itself."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from dotenv import dotenv_values
from rich.console import Console

from jobkit.model.partition import partition_of
from jobkit.ops.views import job_view
from jobkit.ports.inspection import JobRecord, JobState
from jobkit.settings import Settings
from workers.transcode.demo import run
from workers.transcode.demo.backends import Backends, backends_of
from workers.transcode.demo.clips import CHUNKS, CLIPS, LONG
from workers.transcode.demo.jobs import (
    CHUNK,
    VIDEO,
    JobView,
    Strike,
    gave_up,
    job_views,
    next_victim,
    pid_of,
    problems_of,
    spread_id,
    table_of,
)
from workers.transcode.demo.processes import (
    DemoFailed,
    Jobkit,
    WorkerProcess,
    end_at_once,
    end_those_left,
    ffmpegs_within,
)
from workers.transcode.demo.screen import Screen
from workers.transcode.settings import TranscodeSettings

_ROOT = Path(__file__).parents[2]
_SERVERS = _ROOT / "configs/local-servers.env"
_SLEEPER = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
_DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "


def _committed(name: str, number: int) -> JobView:
    return JobView(f"id-{name}", VIDEO, name, "committed", 1.0, "host:11:aa", number, 1, 0)


def _chunk(part: str, **changes: object) -> JobView:
    job = JobView(f"id-{part}", CHUNK, f"id-{LONG.name}/{part}", "committed", 1.0, "host:11:aa", 9, 1, 0)
    return replace(job, **changes)  # type: ignore[arg-type]


@pytest.fixture
def strikes() -> list[Strike]:
    """Process 22 was killed at chunk 0, and process 33 paused at chunk 1."""
    at_work = {"state": "running", "progress": 0.4}
    return [
        Strike("killed", "worker-2", _chunk("0", owner="host:22:bb", token=12, **at_work)),
        Strike("paused", "worker-3", _chunk("1", owner="host:33:cc", token=13, **at_work)),
    ]


@pytest.fixture
def ended() -> list[JobView]:
    """All jobs as they should be at the end: both chunks were taken over."""
    jobs = [_committed(clip.name, number) for number, clip in enumerate(CLIPS, start=1)]
    struck = [_chunk(part, token=20, starts=2) for part in "01"]
    return [*jobs, *struck, *(_chunk(str(number)) for number in range(2, CHUNKS)), _chunk("sound")]


@pytest.fixture
def ids(ended: list[JobView]) -> list[str]:
    return [job.id for job in ended if job.type == VIDEO]


def _with(jobs: list[JobView], name: str, **changes: object) -> list[JobView]:
    return [replace(job, **changes) if job.name == name else job for job in jobs]  # type: ignore[arg-type]


# ---- the verdict -------------------------------------------------------------------------------------------------


def test_nothing_is_wrong_when_every_job_committed_and_what_was_lost_was_taken_over(
    ended: list[JobView], ids: list[str], strikes: list[Strike]
) -> None:
    assert problems_of(ended, ids, strikes) == []


_KILLED, _PAUSED = f"{LONG.name}/0", f"{LONG.name}/1"


@pytest.mark.parametrize(
    ("name", "changes", "problem"),
    [
        ("webcam", {"state": "dead"}, "webcam is dead"),
        ("webcam", {"state": "running"}, "webcam is running"),
        ("webcam", {"id": "another"}, "jobs were submitted"),
        ("webcam", {"failures": 1}, "webcam failed"),
        (_KILLED, {"state": "running"}, f"{_KILLED} is running"),
        (_KILLED, {"owner": "host:22:bb"}, "not taken over from worker-2, which was killed"),
        (_KILLED, {"token": 12}, "not above 12"),
        (_KILLED, {"starts": 1}, "started 1 time"),
        (_KILLED, {"id": "another"}, "not taken over"),
        (_PAUSED, {"owner": "host:33:cc"}, "not taken over from worker-3, which was paused"),
        (_PAUSED, {"token": 13}, "not above 13"),
        (f"{LONG.name}/5", {"type": "another"}, f"to be split into {CHUNKS} chunks, not {CHUNKS - 1}"),
    ],
)
def test_whatever_is_not_as_promised_is_a_problem(
    ended: list[JobView], ids: list[str], strikes: list[Strike], name: str, changes: dict[str, object], problem: str
) -> None:
    assert problem in " ".join(problems_of(_with(ended, name, **changes), ids, strikes))


def test_a_job_that_is_missing_is_a_problem(ended: list[JobView], ids: list[str], strikes: list[Strike]) -> None:
    said = [f"{len(CLIPS)} jobs were submitted, but {len(CLIPS) - 1} are known"]
    assert problems_of(ended[1:], ids, strikes) == said


def test_a_demo_in_which_nothing_befell_a_worker_is_a_problem(
    ended: list[JobView], ids: list[str], strikes: list[Strike]
) -> None:
    assert [problem.partition(",")[0] for problem in problems_of(ended, ids, [])] == [
        "no worker was killed",
        "no worker was paused",
    ]
    assert "no worker was paused" in " ".join(problems_of(ended, ids, strikes[:1]))


def test_who_came_back_too_late_says_in_its_log_what_it_had_lost(strikes: list[Strike]) -> None:
    paused = strikes[1]
    lost = f"12:00:00 [warning] lease lost  resource={paused.resource} token=13 reason='past its deadline'"
    assert gave_up(paused, f"first\n{lost}\nlast")
    assert not gave_up(paused, lost.replace("/1 ", "/2 "))
    assert not gave_up(paused, lost.replace("lost", "kept"))


# ---- whom it befalls ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "chosen"),
    [
        ({}, True),
        ({"progress": 0.0}, True),
        ({"progress": 0.9}, False),
        ({"state": "queued"}, False),
        ({"state": "committed"}, False),
        ({"type": VIDEO}, False),
    ],
)
def test_a_worker_is_struck_in_the_middle_of_a_chunk_only(
    strikes: list[Strike], changes: dict[str, object], chosen: bool
) -> None:
    job: JobView = replace(strikes[0].job, **changes)  # type: ignore[arg-type]
    assert next_victim([_chunk("4"), _chunk("5"), job], []) == (job if chosen else None)


def test_nobody_is_struck_before_chunks_are_done_nor_twice(strikes: list[Strike]) -> None:
    killed, other, done = strikes[0].job, strikes[1].job, [_chunk("4"), _chunk("5")]
    assert next_victim([*done[:1], _committed("webcam", 1), killed], []) is None
    assert next_victim([*done, killed, other], strikes[:1]) == other
    assert next_victim([*done, replace(killed, owner=other.owner)], strikes[:1]) == replace(killed, owner=other.owner)
    assert next_victim([*done, replace(other, owner=killed.owner)], strikes[:1]) is None


def test_an_owner_names_its_process_even_where_the_host_has_colons() -> None:
    assert pid_of("vm:4711:c0ffee00") == 4711
    assert pid_of("fe80::1:4711:c0ffee00") == 4711
    assert pid_of(None) is None


# ---- what the command line says ----------------------------------------------------------------------------------


def test_jobs_are_read_as_the_command_line_writes_them() -> None:
    record = JobRecord(
        id="a",
        type="transcode",
        key=LONG.name,
        sequence=None,
        state=JobState.RUNNING,
        owner="host:22:bb",
        token=12,
        opens=2,
        failures=(),
        progress=0.4,
        message="encoding",
        result=None,
        submitted_at=0.0,
        started_at=1.0,
        finished_at=None,
    )
    first = replace(record, id="b", key=CLIPS[0].name)
    chunks = [replace(record, id=part, type=CHUNK, key=f"a/{part}", group="a") for part in ("sound", "10", "2")]
    documents = [job_view(one) for one in (*chunks, record, first)]
    long = JobView("a", VIDEO, LONG.name, "running", 0.4, "host:22:bb", 12, 2, 0)
    found = job_views(json.dumps(documents))
    assert found[:2] == [replace(long, id="b", key=CLIPS[0].name), long]
    assert [(job.name, job.group) for job in found[2:]] == [
        (f"{LONG.name}/{part}", "a") for part in ("2", "10", "sound")
    ]


def test_the_table_says_who_took_over_from_whom(ended: list[JobView], strikes: list[Strike]) -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table_of(_with(ended, _PAUSED, token=13, starts=1), {11: "worker-1", 22: "worker-2"}, strikes))
    lines = [line.split() for line in console.export_text().splitlines() if line.startswith((_KILLED, _PAUSED))]
    assert lines == [
        f"{_KILLED} committed 100% worker-1 20 2 taken over: worker-2 was killed at 40%, token 12".split(),
        f"{_PAUSED} committed 100% worker-1 13 1 worker-3 was paused at 40%, token 13".split(),
    ]


def test_a_chunk_that_was_lost_twice_says_so_on_two_lines(ended: list[JobView], strikes: list[Strike]) -> None:
    twice = [strikes[0], replace(strikes[1], job=replace(strikes[0].job, token=15))]
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table_of(ended, {11: "worker-1"}, twice))
    said = [line for line in console.export_text().splitlines() if "taken over" in line]
    assert [line.rpartition("taken over: ")[2].rstrip() for line in said] == [
        "worker-2 was killed at 40%, token 12",
        "worker-3 was paused at 40%, token 15",
    ]


def test_a_command_that_fails_ends_the_demo_with_what_it_said(tmp_path: Path) -> None:
    settings = tmp_path / "demo.env"
    settings.write_text("JOBKIT_STORE_URL=nowhere:\n")
    with pytest.raises(DemoFailed, match=r"jobkit jobs ended with exit code 2(.|\n)*JOBKIT_STORE_URL"):
        Jobkit([settings]).run("jobs")


def test_the_demo_says_where_to_run_it(tmp_path: Path) -> None:
    with pytest.raises(DemoFailed, match="project's folder"):
        Jobkit([tmp_path / "demo.env"])


def test_a_command_is_shown_as_a_user_would_type_it() -> None:
    jobkit = Jobkit([_ROOT / run.ENV_FILE, _SERVERS])
    assert jobkit.typed("verify") == f"jobkit --env-file {_ROOT / run.ENV_FILE} --env-file {_SERVERS} verify"


# ---- its settings ------------------------------------------------------------------------------------------------


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("JOBKIT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def demo_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in dotenv_values(_ROOT / run.ENV_FILE).items():
        assert value is not None
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("demo_environment")
def test_the_demos_settings_are_valid_and_say_what_the_demo_counts_on() -> None:
    settings = Settings()
    TranscodeSettings()
    assert settings.partitions == run.PARTITIONS
    for url in (settings.broker_url, settings.coordinator_url, settings.store_url, settings.blobs_url):
        assert f":{'///' if 'sqlite' in url.get_secret_value() else ''}{run.OUT}/" in url.get_secret_value()


# ---- what it runs on ---------------------------------------------------------------------------------------------


def _backends(*env_files: Path) -> Backends:
    return backends_of(Jobkit(env_files).run("config", "show", "--json"))


@pytest.mark.usefixtures("no_settings")
def test_by_itself_the_demo_runs_on_one_file_and_one_directory() -> None:
    found = _backends(_ROOT / run.ENV_FILE)
    assert found.lines() == ["broker, coordinator, store: sqlite:///demo-out/jobkit.db", "blobs: file:demo-out/blobs"]
    assert (found.partitions, found.blobs_directory) == (run.PARTITIONS, Path("demo-out/blobs"))


@pytest.mark.usefixtures("no_settings")
def test_a_second_file_says_on_what_else_and_passwords_are_not_shown() -> None:
    found = _backends(_ROOT / run.ENV_FILE, _SERVERS)
    assert [line.partition("://")[0] for line in found.lines()] == [
        "broker: amqp",
        "coordinator: redis",
        "store: postgresql",
        "blobs: s3",
    ]
    assert (found.partitions, found.blobs_directory) == (run.PARTITIONS, None)
    assert "guest:guest" not in " ".join(found.lines())


@pytest.mark.parametrize(("url", "place"), [("file:a/b", "a/b"), ("file:///a/b", "/a/b")])
def test_a_directory_of_files_is_found_in_its_url(url: str, place: str) -> None:
    urls = {"broker": "", "coordinator": "", "store": "", "blobs": url}
    assert Backends(urls, 6, 30.0).blobs_directory == Path(place)


class _Answers(Jobkit):
    """A `jobkit` that says what it is told to say."""

    def __init__(self, verify: tuple[int, str], jobs: str = "[]") -> None:
        super().__init__([])
        self._verify, self._jobs = verify, jobs

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        code, said = self._verify if arguments[0] == "verify" else (0, self._jobs)
        return subprocess.CompletedProcess(arguments, code, said, "")


def _jobs(state: JobState) -> str:
    record = JobRecord(
        id="a",
        type=VIDEO,
        key=LONG.name,
        sequence=None,
        state=state,
        owner=None,
        token=None,
        opens=0,
        failures=(),
        progress=0.0,
        message="",
        result=None,
        submitted_at=0.0,
        started_at=None,
        finished_at=None,
    )
    return json.dumps([job_view(record)])


def test_what_an_earlier_run_committed_is_counted_and_in_nobodys_way() -> None:
    jobkit = _Answers((0, '{"entries": 6}'), _jobs(JobState.COMMITTED))
    assert run.Demo(Screen(), jobkit).entries_at_rest() == 6


def test_a_job_that_an_earlier_run_left_is_named_with_what_to_do() -> None:
    jobkit = _Answers((0, '{"entries": 5}'), _jobs(JobState.QUEUED))
    with pytest.raises(DemoFailed, match=rf"not done: {LONG.name}(.|\n)*jobkit worker transcode"):
        run.Demo(Screen(), jobkit).entries_at_rest()


def test_backends_that_are_not_sound_are_not_used() -> None:
    with pytest.raises(DemoFailed, match="not begun, `jobkit verify` fails"):
        run.Demo(Screen(), _Answers((1, "{}"))).entries_at_rest()


def test_each_video_lies_in_a_partition_of_its_own() -> None:
    assert len({partition_of(clip.name, run.PARTITIONS) for clip in CLIPS}) == len(CLIPS)


def test_every_worker_gets_chunks() -> None:
    id = spread_id(run.PARTITIONS, lambda: str(uuid.uuid4()))
    taken = {partition_of(f"{id}/{number}", run.PARTITIONS) for number in range(CHUNKS)}
    assert run.PARTITIONS - len(taken) < run.PARTITIONS / run.WORKERS


@pytest.mark.usefixtures("demo_environment")
def test_the_long_video_is_longer_than_half_a_minute_and_has_as_many_chunks_as_is_said() -> None:
    assert LONG.seconds > 30
    assert LONG.seconds / TranscodeSettings().chunk_seconds == CHUNKS


# ---- processes ---------------------------------------------------------------------------------------------------


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    yield from _running(_SLEEPER)


@pytest.fixture
def deaf() -> Iterator[subprocess.Popen[bytes]]:
    yield from _running([*_SLEEPER[:2], _DEAF + _SLEEPER[2]])


def _running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_worker_that_is_told_to_end_is_gone_even_if_it_does_not_listen(
    sleeper: subprocess.Popen[bytes], deaf: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.transcode.demo.processes._END_SECONDS", 0.1)
    # It was paused, and nobody has continued it.
    sleeper.send_signal(signal.SIGSTOP)
    end_at_once([sleeper, deaf])
    assert sleeper.returncode == -signal.SIGTERM
    assert deaf.returncode == -signal.SIGKILL


def test_a_worker_that_ended_by_itself_fails_the_demo_with_the_end_of_its_log(
    sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    log.write_text("first\nlast words\n")
    worker = WorkerProcess("worker-1", sleeper, log)
    worker.require_running()
    sleeper.kill()
    sleeper.wait()
    with pytest.raises(DemoFailed, match=r"worker-1 ended with exit code -9\n(.|\n)*last words"):
        worker.require_running()


def test_what_a_killed_worker_leaves_behind_is_ended(sleeper: subprocess.Popen[bytes]) -> None:
    process = psutil.Process(sleeper.pid)
    assert end_those_left([process], seconds=0.1) == [sleeper.pid]
    assert process.wait(10) == -signal.SIGKILL
    assert end_those_left([process], seconds=0.1) == []


def test_what_ends_by_itself_is_let_be(sleeper: subprocess.Popen[bytes]) -> None:
    process = psutil.Process(sleeper.pid)
    sleeper.terminate()
    assert end_those_left([process], seconds=10) == []


def test_an_ffmpeg_that_still_works_in_the_demos_folder_is_found(tmp_path: Path) -> None:
    sleep = shutil.which("sleep")
    assert sleep is not None
    (tmp_path / "ffmpeg").symlink_to(sleep)
    inside = tmp_path / "out" / "scratch"
    inside.mkdir(parents=True)
    with subprocess.Popen([tmp_path / "ffmpeg", "60"], cwd=inside) as process:
        try:
            deadline = time.monotonic() + 10
            # Popen returns a moment before the process has its new name.
            while not ffmpegs_within(tmp_path / "out") and time.monotonic() < deadline:
                time.sleep(0.01)
            assert [found.pid for found in ffmpegs_within(tmp_path / "out")] == [process.pid]
            assert len(ffmpegs_within(tmp_path / "other", tmp_path / "out")) == 1
            assert ffmpegs_within(tmp_path / "other") == []
        finally:
            process.kill()
    assert ffmpegs_within(tmp_path / "out") == []
