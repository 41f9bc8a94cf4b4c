"""One run of the demo, from the sources to the verdict."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import anyio
import psutil

from workers.transcode.demo.backends import Backends, backends_of
from workers.transcode.demo.clips import CLIPS, LONG, Clip, make_clips
from workers.transcode.demo.jobs import (
    CHUNK,
    STRIKES,
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
    was_taken_over,
)
from workers.transcode.demo.processes import (
    DemoFailed,
    Jobkit,
    WorkerProcess,
    end_those_left,
    ffmpegs_within,
    running_workers,
    tail,
)
from workers.transcode.demo.screen import Screen
from workers.transcode.errors import FfmpegFailed

OUT = Path("demo-out")
SOURCES = OUT / "sources"
LOGS = OUT / "logs"
# Where workers keep what they are working on, unless the blobs are in a directory, which has a place for that.
SCRATCH = OUT / "scratch"
ENV_FILE = Path("configs/demo.env")
WORKERS = 3
TYPES = (VIDEO, CHUNK)
# In as many partitions each video is alone in its own, and so is each chunk.
PARTITIONS = 6

# The whole demo, on a machine that has much else to do; where it takes longer than this, something is stuck.
LIMIT_SECONDS = 900.0
POLL_SECONDS = 0.5
# How much longer than its settings let it drain a worker may take to end.
EXIT_SECONDS = 15.0


class Demo:
    """One run of the demo."""

    def __init__(self, screen: Screen, jobkit: Jobkit) -> None:
        self._screen = screen
        self._jobkit = jobkit
        self._deadline = time.monotonic() + LIMIT_SECONDS
        self._names: dict[int, str] = {}
        self._strikes: list[Strike] = []
        self._paused: WorkerProcess | None = None

    def run(self) -> None:
        """Run everything. Raises `DemoFailed`."""
        backends = self._meet_backends()
        self._make_sources()
        with running_workers(self._jobkit, WORKERS, LOGS, SCRATCH, TYPES) as workers:
            self._names = {worker.process.pid: worker.name for worker in workers}
            self._await_shares(workers, backends.partitions)
            # Not before: embedded backends are made by the first worker.
            entries_before = self.entries_at_rest()
            long = spread_id(backends.partitions, lambda: str(uuid.uuid4()))
            submitted = [*(self._submit(clip) for clip in CLIPS[:-1]), self._submit(LONG, "--id", long)]
            with self._screen.moving():
                jobs = self._watch(workers, submitted)
            self._submit_again(submitted[-1])
            self._drain(workers, backends.drain_seconds + EXIT_SECONDS)
        self._conclude(jobs, submitted, entries_before, backends)

    def _meet_backends(self) -> Backends:
        shutil.rmtree(OUT, ignore_errors=True)
        for directory in (SOURCES, LOGS, SCRATCH):
            directory.mkdir(parents=True)
        backends = backends_of(self._jobkit.run("config", "show", "--json"))
        for line in backends.lines():
            self._screen.say(line)
        if applied := json.loads(self._jobkit.run("migrate", "--json"))["applied"]:
            self._screen.say(f"jobkit migrate: applied {len(applied)} migrations to the store")
        return backends

    def entries_at_rest(self) -> int:
        """Return how many log entries there are at the start. Raises `DemoFailed` where an earlier run left work."""
        before = self._jobkit.attempt("verify", "--json")
        if before.returncode != 0:
            raise DemoFailed(f"not begun, `{self._jobkit.typed('verify')}` fails:\n{before.stdout}{before.stderr}")
        if left := [job.key for job in self._known() if job.type == VIDEO and not job.ended]:
            raise DemoFailed(
                f"not begun, because jobs of an earlier run are not done: {', '.join(left)}. Have a worker do them:\n"
                f"{self._jobkit.typed('worker', *TYPES)}"
            )
        return int(json.loads(before.stdout)["entries"])

    def _make_sources(self) -> None:
        self._screen.say(f"making {len(CLIPS)} videos in {SOURCES}/ from ffmpeg's test sources")
        try:
            anyio.run(make_clips, SOURCES)
        except FfmpegFailed as error:
            raise DemoFailed(str(error)) from error
        except subprocess.CalledProcessError as error:
            raise DemoFailed(f"ffmpeg made no video: {error.stderr.decode(errors='replace')}") from error
        for clip in CLIPS:
            self._screen.say(f"  {clip.name}: {clip}")

    def _await_shares(self, workers: Sequence[WorkerProcess], partitions: int) -> None:
        """Wait until every partition is led and every worker leads some."""
        started = ", ".join(f"{worker.name} (pid {worker.process.pid})" for worker in workers)
        self._screen.say(f"started {started}")
        leading: list[str] = []
        while True:
            others = sorted(set(leading) - set(self._names.values()))
            found = f"; some are led by {', '.join(others)}: end every other worker on these backends" if others else ""
            self._require_time(f"the workers share the partitions{found}")
            for worker in workers:
                worker.require_running()
            asked = self._jobkit.attempt("leases", "--prefix", "leader/", "--json")
            # Embedded backends are not there before the first worker has made them; workers that fail are seen above.
            leases = json.loads(asked.stdout)["leases"] if asked.returncode == 0 else []
            leading = [self._name(lease["owner"]) for lease in leases]
            if set(leading) == set(self._names.values()) and len(leading) == len(TYPES) * partitions:
                break
            time.sleep(POLL_SECONDS)
        shares = ", ".join(f"{worker.name} {leading.count(worker.name)}" for worker in workers)
        self._screen.say(f"the workers share the {partitions} partitions of each of {len(TYPES)} job types: {shares}")

    def _submit(self, clip: Clip, *options: str) -> str:
        submission = json.loads(self._jobkit.run("submit", VIDEO, "--payload", _payload(clip), *options, "--json"))
        self._screen.say(f"submitted {clip.name}: job {submission['id']}")
        return str(submission["id"])

    def _submit_again(self, id: str) -> None:
        again = self._jobkit.run("submit", VIDEO, "--payload", _payload(LONG), "--id", id, "--json")
        if not json.loads(again)["known"]:
            raise DemoFailed(f"job {id} was accepted twice")
        self._screen.say(f"submitted {LONG.name} again under the same id: known, nothing changed")

    def _known(self) -> list[JobView]:
        return job_views(self._jobkit.run("jobs", "--json"))

    def _watch(self, workers: Sequence[WorkerProcess], submitted: Sequence[str]) -> list[JobView]:
        """Show the jobs until all have ended, and interfere with workers on the way."""
        while True:
            self._require_time("all jobs have ended")
            # Not those of an earlier run on the same backends.
            jobs = [job for job in self._known() if job.id in submitted or job.group == submitted[-1]]
            self._screen.show(jobs, self._names, self._strikes)
            for worker in workers:
                if not any(strike.how == "killed" and strike.worker == worker.name for strike in self._strikes):
                    worker.require_running()
            self._interfere(jobs, workers)
            if all(job.ended for job in jobs):
                return jobs
            time.sleep(POLL_SECONDS)

    def _interfere(self, jobs: Sequence[JobView], workers: Sequence[WorkerProcess]) -> None:
        """Kill a worker at its chunk, pause another at its own, and have that one go on once somebody else has it."""
        if self._paused is not None:
            strike = self._strikes[-1]
            now = next(job for job in jobs if job.id == strike.job.id)
            if was_taken_over(strike, now):
                self._paused.process.send_signal(signal.SIGCONT)
                self._paused = None
                its = f"{now.name} is {self._name(now.owner or '')}'s by now, under token {now.token}"
                self._screen.say(f"CONTINUED {strike.worker} (SIGCONT), which knows of nothing: {its}", "bold red")
            return
        victim = next_victim(jobs, self._strikes)
        if victim is not None and len(self._strikes) < len(STRIKES):
            self._strike(STRIKES[len(self._strikes)], victim, workers)

    def _strike(self, how: Literal["killed", "paused"], job: JobView, workers: Sequence[WorkerProcess]) -> None:
        worker = next((worker for worker in workers if worker.process.pid == pid_of(job.owner)), None)
        if worker is None:
            raise DemoFailed(f"job {job.name} is run by {job.owner}, which is none of the demo's workers")
        # Before anything is decided, so that what is seen stays true. A chunk may have ended since it was looked at.
        worker.process.send_signal(signal.SIGSTOP)
        now = next(known for known in self._known() if known.id == job.id)
        hit = (now.state, now.token) == (job.state, job.token) and (how == "killed" or self._can_be_written(now))
        if not hit:
            worker.process.send_signal(signal.SIGCONT)
            return
        self._strikes.append(Strike(how, worker.name, now))
        at = f"in the middle of {now.name}, {now.progress:.0%} done under token {now.token}"
        if how == "killed":
            self._kill(worker, at)
        else:
            self._paused = worker
            self._screen.say(f"PAUSED {worker.name} (SIGSTOP to pid {worker.process.pid}) {at}", "bold red")

    def _can_be_written(self, chunk: JobView) -> bool:
        """Return whether the store takes anything: one who is stopped in a transaction holds up an SQLite file."""
        again = ("submit", VIDEO, "--payload", _payload(LONG), "--id", str(chunk.group), "--json")
        return self._jobkit.attempt(*again).returncode == 0

    def _kill(self, worker: WorkerProcess, at: str) -> None:
        media = psutil.Process(worker.process.pid).children(recursive=True)
        worker.process.kill()
        worker.process.wait()
        self._screen.say(f"KILLED {worker.name} (SIGKILL to pid {worker.process.pid}) {at}", "bold red")
        self._screen.say("nobody replaces it: the others take its work over once its leases have ended", "bold red")
        left = end_those_left(media)
        if left and sys.platform == "linux":
            raise DemoFailed(f"{worker.name} was killed, but its ffmpeg went on (pid {left})")
        if left:
            self._screen.say(f"ended the ffmpeg it left behind (pid {left}): only Linux ends that with its worker")

    def _drain(self, workers: Sequence[WorkerProcess], seconds: float) -> None:
        """Tell the workers that are left to end, and require that they do so well."""
        left = [worker for worker in workers if worker.process.poll() is None]
        for worker in left:
            worker.process.send_signal(signal.SIGTERM)
        for worker in left:
            try:
                code = worker.process.wait(seconds)
            except subprocess.TimeoutExpired as error:
                raise DemoFailed(f"{worker.name} did not end within {seconds:g} s\n{tail(worker.log)}") from error
            if code != 0:
                raise DemoFailed(f"{worker.name} drained, but ended with exit code {code}\n{tail(worker.log)}")
        self._screen.say(f"SIGTERM to the {len(left)} workers that are left: drained, exit code 0")

    def _conclude(
        self, jobs: Sequence[JobView], submitted: Sequence[str], entries_before: int, backends: Backends
    ) -> None:
        """Show what came of it. Raises `DemoFailed` where anything is wrong."""
        read = json.loads(self._jobkit.attempt("verify", "--json").stdout)
        problems = problems_of(jobs, submitted, self._strikes)
        for strike in self._strikes:
            log = (LOGS / f"{strike.worker}.log").read_text(errors="replace")
            if strike.how == "paused" and not gave_up(strike, log):
                problems.append(f"{strike.worker} was paused, and its log does not say that it lost {strike.job.name}")
        entries = read["entries"] - entries_before
        if entries != len(submitted):
            problems.append(f"{len(submitted)} jobs left {entries} entries in the logs of their keys")
        places = [place for place in (OUT, backends.blobs_directory) if place is not None]
        if orphans := end_those_left(ffmpegs_within(*places), seconds=0):
            problems.append(f"all workers have ended, but ffmpeg went on (pid {orphans})")
        verify = self._jobkit.attempt("verify")
        if verify.returncode != 0:
            problems.append(f"jobkit verify ended with exit code {verify.returncode}")
        self._screen.console.print()
        self._screen.console.print(table_of(jobs, self._names, self._strikes))
        self._screen.console.print()
        self._screen.console.print(f"$ {self._jobkit.typed('verify')}\n{verify.stdout}{verify.stderr}".rstrip())
        if problems:
            raise DemoFailed("\n".join(problems))

    def _name(self, owner: str) -> str:
        return self._names.get(pid_of(owner) or 0, owner)

    def _require_time(self, what: str) -> None:
        if time.monotonic() >= self._deadline:
            raise DemoFailed(f"not within {LIMIT_SECONDS:g} s: {what}; the workers' logs are in {LOGS}/")


def _payload(clip: Clip) -> str:
    return json.dumps({"video_id": clip.name, "source": clip.file, "split": clip is LONG})
