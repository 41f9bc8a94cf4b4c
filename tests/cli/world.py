"""What the commands find: jobs, dead letters and gaps, made on the real embedded backends of the current directory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import anyio

from jobkit.backends.registry import open_planes
from jobkit.model.clock import SystemClock
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.plugin.loading import load_plugins
from jobkit.plugin.registry import Registry
from jobkit.ports.checkpoints import Checkpoint, SaveAnswer
from jobkit.ports.planes import Planes
from jobkit.ports.store import Accepted, Committed, Effects, Failure, Opened
from jobkit.settings import Settings
from jobkit.worker import Worker

T = TypeVar("T")

PLUGIN = "tests.cli.plugin"
COMMAND = (sys.executable, "-m", "jobkit")

_FENCE = Fence(token=7, nonce="n", owner="host:1:test")


def environment(**variables: str) -> dict[str, str]:
    """Return the environment for a process of its own: only these settings, and output buffered as usual."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("JOBKIT_") and name not in ("PYTHONUNBUFFERED", "NO_COLOR", "FORCE_COLOR")
    }
    return {**inherited, "JOBKIT_PLUGINS": PLUGIN, **variables}


@dataclass
class World:
    """The backends in the current directory, as the defaults of the settings name them."""

    directory: Path
    registry: Registry = field(default_factory=lambda: load_plugins([PLUGIN]))

    def ask(self, question: Callable[[Planes], Awaitable[T]]) -> T:
        """Open the planes and return what `question` returns of them."""

        async def asked() -> T:
            async with open_planes(Settings()) as planes:
                return await question(planes)

        return anyio.run(asked)

    def accepted(self, type: str, payload: Mapping[str, Any], *, id: str | None = None) -> Envelope:
        """Submit a job and return its envelope; it is not published."""
        new = self.registry.new_job(type, payload, id=id, submitted_at=SystemClock().wall())

        async def submit(planes: Planes) -> Envelope:
            (answer,) = await planes.store.submit([new])
            assert isinstance(answer, Accepted)
            return answer.envelope

        return self.ask(submit)

    def opened(self, envelope: Envelope, *, progress: float = 0.0, message: str = "") -> None:
        """Have a worker begin a job."""

        async def begin(planes: Planes) -> None:
            assert isinstance(await planes.store.open(envelope, _FENCE), Opened)
            if progress:
                await planes.store.progress(envelope, _FENCE, fraction=progress, message=message)

        self.ask(begin)

    def kept(self, envelope: Envelope, *checkpoints: Checkpoint) -> None:
        """Have a worker begin a job and keep some of its work."""
        self.opened(envelope)

        async def keep(planes: Planes) -> None:
            for one in checkpoints:
                assert await planes.store.save_checkpoint(envelope, _FENCE, one) is SaveAnswer.SAVED

        self.ask(keep)

    def committed(self, envelope: Envelope, result: bytes = b"null") -> None:
        """Have a worker begin a job and end it well."""
        self.opened(envelope)

        async def commit(planes: Planes) -> None:
            assert isinstance(await planes.store.commit(envelope, _FENCE, Effects(result=result)), Committed)

        self.ask(commit)

    def buried(self, envelope: Envelope, *, reason: str, error: str = "", traceback: str = "") -> int:
        """Have a worker begin a job and give it up; return its dead letter's number."""
        self.opened(envelope)

        async def bury(planes: Planes) -> int:
            if error:
                failure = Failure(1, error, traceback, _FENCE.owner, _FENCE.token, SystemClock().wall())
                await planes.store.fail(envelope, _FENCE, failure)
            await planes.store.bury(envelope, _FENCE, reason=reason, detail=traceback)
            return (await planes.inspection.dead())[-1].number

        return self.ask(bury)

    def unreadable(self, raw: bytes) -> int:
        """Dead-letter a message that nothing can be made of; return its number."""

        async def bury(planes: Planes) -> int:
            await planes.store.bury_message(raw, None, reason="malformed")
            return (await planes.inspection.dead())[-1].number

        return self.ask(bury)

    def parked(self, envelope: Envelope) -> None:
        """Set an ordered job aside that is ahead of its sequence."""

        async def park(planes: Planes) -> None:
            await planes.store.park(envelope, reason="sequence 1 is missing")

        self.ask(park)

    def worked_off(self, *types: str) -> None:
        """Run a worker in this process until no job is queued or running."""

        async def work(planes: Planes) -> None:
            settings = Settings(relay_grace=0.05)
            worker = Worker(planes, self.registry, types, settings, watchdog=False)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(worker.run)
                with anyio.fail_after(30):
                    while (await planes.inspection.counts()).outbox or await _unfinished(planes):  # noqa: ASYNC110
                        await anyio.sleep(0.02)
                worker.drain()

        self.ask(work)

    @contextmanager
    def worker(self, *types: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a worker process; its log is `worker.log`."""
        with (self.directory / "worker.log").open("wb") as log:
            process = subprocess.Popen([*COMMAND, "worker", *types], env=environment(), stderr=log)
            try:
                yield process
            finally:
                process.kill()
                process.wait()


async def _unfinished(planes: Planes) -> bool:
    return any(not job.state.ended for job in await planes.inspection.jobs(limit=1000))
