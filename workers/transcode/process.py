"""Runs media processes: under limits, watched for progress, and never left behind.

It does not judge what the process said or wrote. What it promises: when `run` returns or raises, whatever the
reason, the process and everything in its group are gone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import anyio
from anyio.abc import ByteReceiveStream, Process
from structlog.typing import FilteringBoundLogger

from workers.transcode import launcher
from workers.transcode.errors import Killed, Stalled, TookTooLong, TranscodeFailed

# After SIGKILL only a process stuck in the kernel (a dead disk) is not gone at once; nobody can end that one.
_REAP_SECONDS = 5.0
# What a process left behind is reaped by the system; in a container without an init process by nobody, and then it
# stays as a zombie, which does no work and is not worth waiting for.
_ORPHANS_SECONDS = 1.0
_LOOK_AGAIN_SECONDS = 0.01
_LONGEST_LINE = 1024 * 1024
_STDERR_KEPT = 8192

# What a media process needs of the environment. The rest stays here: it may hold the passwords of the backends.
_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "FONTCONFIG_FILE")


class Clock(Protocol):
    """The two things that watching needs of a clock; `Context.clock` is one."""

    def now(self) -> float:
        """Return seconds that only grow."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for at least `seconds`."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What the kernel allows a media process."""

    memory_mb: int
    cpu_seconds: int
    file_mb: int
    nice: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long is too long, in seconds: without progress, in all, and between SIGTERM and SIGKILL."""

    stall: float
    total: float
    grace: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The process ended by itself. `stderr` is the end of what it said."""

    code: int
    stderr: str


async def _no_sign() -> object:
    return None


async def _no_report() -> None:
    return None


def launched(command: Sequence[str], limits: Limits) -> list[str]:
    """Return the command line that runs `command` (its first word an absolute path) under `limits`."""
    numbers = (os.getpid(), limits.memory_mb, limits.cpu_seconds, limits.file_mb, limits.nice)
    return [sys.executable, "-I", "-S", launcher.__file__, *map(str, numbers), *command]


def environment() -> dict[str, str]:
    """Return the environment that media processes get."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    # SVT-AV1 says what it is about to do, at length, where it is not told that only errors matter.
    return {**kept, "LC_ALL": "C.UTF-8", "AV_LOG_FORCE_NOCOLOR": "1", "SVT_LOG": "1"}


@dataclass(frozen=True, slots=True)
class Supervisor:
    """Starts media processes, all under the same limits and bounds."""

    limits: Limits
    bounds: Bounds
    clock: Clock
    log: FilteringBoundLogger

    async def run(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        name: str,
        on_line: Callable[[str], bool],
        on_progress: Callable[[], Awaitable[None]] = _no_report,
        sign_of_life: Callable[[], Awaitable[object]] = _no_sign,
        pass_fds: Sequence[int] = (),
    ) -> Finished:
        """Run `command` to its end, giving each line of its output to `on_line`, which tells whether it was progress.

        `on_progress` is awaited after progress, the latest only; what it raises ends the process. A change in what
        `sign_of_life` returns counts as progress too. Raises `Stalled`, `TookTooLong`, or `Killed` where a signal
        that was not ours ended it; messages call the process `name`.
        """
        # Cancelled in the middle of starting, the process would be asyncio's to end, out of our sight.
        with anyio.CancelScope(shield=True):
            process = await anyio.open_process(
                launched(command, self.limits),
                stdin=subprocess.DEVNULL,
                cwd=cwd,
                env=environment(),
                start_new_session=True,
                pass_fds=pass_fds,
            )
        try:
            finished = await self._attend(process, name, on_line, on_progress, sign_of_life)
        finally:
            await self._end(process)
        if finished.code < 0:
            raise Killed(f"{name} was ended by {_signal_name(-finished.code)}")
        return finished

    async def _attend(
        self,
        process: Process,
        name: str,
        on_line: Callable[[str], bool],
        on_progress: Callable[[], Awaitable[None]],
        sign_of_life: Callable[[], Awaitable[object]],
    ) -> Finished:
        assert process.stdout is not None  # noqa: S101  (narrows the type: both are pipes)
        assert process.stderr is not None  # noqa: S101
        watch = _Watch(self.clock, self.bounds, name, sign_of_life)
        errors = _Tail()
        failure: BaseException | None = None
        finished: Finished | None = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch.watch)
                tasks.start_soon(watch.report, on_progress)
                async with anyio.create_task_group() as readers:
                    readers.start_soon(_read_lines, process.stdout, on_line, watch)
                    readers.start_soon(errors.read, process.stderr)
                    await process.wait()
                    # A wrapper script's children may hold the pipes open, which would keep the readers here.
                    signal_group(process.pid, signal.SIGKILL)
                assert process.returncode is not None  # noqa: S101  (narrows the type: it was waited for)
                finished = Finished(process.returncode, errors.text())
                tasks.cancel_scope.cancel()
        except ExceptionGroup as group:
            failure = first_error(group)
        # Raised bare: callers know errors by their type, and a group would hide a lost lease from the runtime.
        if failure is not None:
            raise failure
        assert finished is not None  # noqa: S101  (a group without an error ran to its end)
        return finished

    async def _end(self, process: Process) -> None:
        """Make sure that the group is gone and the process reaped, also while being cancelled."""
        with anyio.move_on_after(self.bounds.grace + _REAP_SECONDS, shield=True) as scope:
            if process.returncode is None:
                signal_group(process.pid, signal.SIGTERM)
                with anyio.move_on_after(self.bounds.grace):
                    await process.wait()
            # Also after it ended well: nothing it started may stay. The number cannot have been given to a new
            # process yet: as long as a member of the group lives it is taken, and numbers come around late.
            signal_group(process.pid, signal.SIGKILL)
            await process.wait()
            with anyio.move_on_after(_ORPHANS_SECONDS):
                while signal_group(process.pid, signal.SIGKILL):
                    await self.clock.sleep(_LOOK_AGAIN_SECONDS)
            # What a reader that gave up left in the pipes: until they are empty, they stay open.
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    async for _ in stream:
                        pass
        if scope.cancelled_caught:
            self.log.error("a killed media process does not go away", pid=process.pid)


class _Watch:
    """Ends a run that makes no progress, and passes progress on."""

    def __init__(self, clock: Clock, bounds: Bounds, name: str, sign_of_life: Callable[[], Awaitable[object]]) -> None:
        self._clock = clock
        self._bounds = bounds
        self._name = name
        self._sign_of_life = sign_of_life
        self._moved_at = clock.now()
        self._moved = anyio.Event()

    def moved(self) -> None:
        """Note progress."""
        self._moved_at = self._clock.now()
        self._moved.set()

    async def report(self, on_progress: Callable[[], Awaitable[None]]) -> None:
        """Pass progress on, for ever. Apart from reading: a slow store must not look like a stalled process."""
        while True:
            await self._moved.wait()
            self._moved = anyio.Event()
            await on_progress()

    async def watch(self) -> None:
        """Wait until something takes too long. Raises `Stalled` or `TookTooLong`."""
        started = self._clock.now()
        sign = await self._sign_of_life()
        while True:
            await self._clock.sleep(min(self._bounds.stall / 4, 2.0))
            latest = await self._sign_of_life()
            if latest != sign:
                sign, self._moved_at = latest, self._clock.now()
            now = self._clock.now()
            if now - self._moved_at >= self._bounds.stall:
                raise Stalled(f"{self._name} made no progress for {self._bounds.stall:g} s")
            if now - started >= self._bounds.total:
                raise TookTooLong(f"{self._name} took longer than {self._bounds.total:g} s")


class _Tail:
    """Keeps the end of what was said."""

    def __init__(self) -> None:
        self._kept = b""

    async def read(self, stream: ByteReceiveStream) -> None:
        async for chunk in stream:
            self._kept = (self._kept + chunk)[-_STDERR_KEPT:]

    def text(self) -> str:
        return self._kept.decode(errors="replace").strip()


async def _read_lines(stream: ByteReceiveStream, on_line: Callable[[str], bool], watch: _Watch) -> None:
    pending = b""
    async for chunk in stream:
        *lines, pending = (pending + chunk).split(b"\n")
        if len(pending) > _LONGEST_LINE:
            raise TranscodeFailed(f"a media process wrote a line of more than {_LONGEST_LINE} bytes")
        for line in lines:
            if on_line(line.decode(errors="replace")):
                watch.moved()


def signal_group(group: int, which: signal.Signals) -> bool:
    """Send a signal to every process of a group; tell whether there was any."""
    try:
        os.killpg(group, which)
    except (ProcessLookupError, PermissionError):
        # Nobody is left; macOS says "not permitted" where only a zombie is.
        return False
    return True


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group that is none itself."""
    first = group.exceptions[0]
    return first_error(first) if isinstance(first, BaseExceptionGroup) else first
