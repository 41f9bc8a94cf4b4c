"""Virtual time: an event loop that never waits, and processes within it that can be stopped and killed.

It promises nothing about real time, and takes no threads and no sockets: what a run does follows from its code and
its seed alone. Whenever nothing is ready, time jumps to the next timer; where there is no timer either, nothing can
ever happen again, and `VirtualDeadlock` names the tasks that wait.

Callbacks of one process run in the order asyncio promises. Which process runs next is drawn from the seed, as is the
order in which a thawed process meets what happened meanwhile. asyncio works on BaseEventLoop's `_ready` and
`_scheduled`; these two, and `_run_once`, are all of its internals that are used here.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from concurrent.futures import Executor
from contextvars import Context, ContextVar, copy_context
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any, NoReturn, TypeVar, TypeVarTuple
from unittest import mock

import anyio
import anyio.to_thread

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Not zero: code that takes a time of 0 for "never" should not pass by luck, nor fail by bad luck.
_START = 1_000.0
# So many callbacks without time moving mean that some code spins instead of waiting.
_SPIN_LIMIT = 50_000


class VirtualDeadlock(RuntimeError):
    """No callback is ready and no timer is set: the tasks that are named wait for ever."""


class VirtualSpin(RuntimeError):
    """Callbacks run on and on, while virtual time stands still."""


class ThreadForbidden(RuntimeError):
    """Something wanted a thread inside virtual time; threads run in real time and would make runs differ."""


_current: ContextVar[Process | None] = ContextVar("jobkit_virtual_process", default=None)


class Process:
    """Tasks that stop, go on and die together, as those of an operating system process do.

    Every task, timer and callback that a task of the process starts belongs to it too. Those of a frozen process
    are kept until it thaws; time goes on meanwhile. Those of a killed one are kept for ever: not even a `finally` runs.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.frozen = False
        self.killed = False
        self.thawed_at = float("-inf")
        self._loop = running_loop()
        self._loop.processes.append(self)
        self.held: list[asyncio.Handle] = []

    def spawn(self, work: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
        """Start a task of this process."""
        context = copy_context()
        context.run(_current.set, self)
        return self._loop.create_task(work, name=name or self.name, context=context)

    def freeze(self) -> None:
        """Stop the process, as SIGSTOP, a long garbage collection or a suspended machine does."""
        self.frozen = True

    def thaw(self) -> None:
        """Let the process go on: all that fell due meanwhile happens now, in an order drawn from the seed."""
        if self.killed or not self.frozen:
            return
        self.frozen = False
        self.thawed_at = self._loop.time()
        self._loop.take_back(self)

    def kill(self) -> None:
        """End the process, as SIGKILL does. Its tasks are torn down when the loop closes, and not before."""
        self.killed = self.frozen = True


def current_process() -> Process | None:
    """Return the process that the running task belongs to, or None outside of all."""
    return _current.get()


def spawn_outside(work: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
    """Start a task that belongs to no process: the network, a server, whatever stops no process and stops with none."""
    return running_loop().create_task(work, name=name, context=Context())


class VirtualClock:
    """A machine's clocks in virtual time.

    `rate` is how fast its forward clock runs, `offset` where it started: two machines' clocks agree in neither.
    The wall clock runs at the true rate, and jumps when told to.
    """

    def __init__(self, *, rate: float = 1.0, offset: float = 0.0, epoch: float = 1_750_000_000.0) -> None:
        self._rate = rate
        self._offset = offset
        self._epoch = epoch

    def now(self) -> float:
        return running_loop().time() * self._rate + self._offset

    def wall(self) -> float:
        return running_loop().time() + self._epoch

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock forward, or back where `seconds` is negative."""
        self._epoch += seconds

    async def sleep(self, seconds: float) -> None:
        until = self.now() + seconds
        await anyio.sleep(seconds / self._rate)
        if self.now() < until:
            # Rounding: a sleep is never shorter than asked for.
            await anyio.sleep(1e-6)


def run_virtual(main: Coroutine[Any, Any, T], *, seed: int | None = None, threads_inline: bool = False) -> T:
    """Run `main` to its end in virtual time and return its result.

    With a `seed`, processes are interleaved at random; without, first come first served. Threads are refused; with
    `threads_inline`, what anyio would run in one, such as work on files, is run at once while time stands still.
    Raises `VirtualDeadlock`, `VirtualSpin` or `ThreadForbidden`.
    """
    loop = VirtualLoop(seed)
    with mock.patch.object(anyio.to_thread, "run_sync", _at_once if threads_inline else _no_thread):
        try:
            return loop.run_until_complete(main)
        finally:
            loop.tear_down()


def running_loop() -> VirtualLoop:
    """Return the virtual loop that runs. Raises `RuntimeError` outside of one."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise RuntimeError("this needs virtual time: call it within run_virtual()")
    return loop


async def _no_thread(func: Callable[..., object], *_: object, **__: object) -> NoReturn:
    raise ThreadForbidden(f"anyio.to_thread.run_sync({func!r}, ...) within virtual time: use a backend without threads")


async def _at_once(func: Callable[[*Ts], T], *args: *Ts, **_: object) -> T:
    return func(*args)


class _NumberedTask(asyncio.Task[Any]):
    """A task whose hash is the order it was made in, so that sets of tasks are walked alike in every run."""

    def __init__(self, number: int, loop: VirtualLoop, coro: Coroutine[Any, Any, Any], **kwargs: Any) -> None:
        self.number = number
        super().__init__(coro, loop=loop, **kwargs)

    def __hash__(self) -> int:
        return self.number

    @property
    def begun(self) -> bool:
        """Return whether any of it has run."""
        coro = self.get_coro()
        return not asyncio.iscoroutine(coro) or getcoroutinestate(coro) != CORO_CREATED

    def cancel(self, msg: Any | None = None) -> bool:
        loop = self.get_loop()
        assert isinstance(loop, VirtualLoop)  # noqa: S101  (made by its task factory)
        loop.cancels += 1
        return super().cancel(msg)


class VirtualLoop(asyncio.BaseEventLoop):
    """The event loop of `run_virtual`."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _stopping: bool

    def __init__(self, seed: int | None) -> None:
        super().__init__()
        self.processes: list[Process] = []
        self.cancels = 0
        self._rng = None if seed is None else random.Random(seed)  # noqa: S311  (schedules, not secrets)
        self._time = _START
        self._spun = 0
        self._tasks_made = 0
        self._thread = threading.get_ident()
        self._intruder = ""
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        return self._time

    def _make_task(
        self, _: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any], **kwargs: Any
    ) -> _NumberedTask:
        assert asyncio.iscoroutine(coro)  # noqa: S101  (generators have been no coroutines since Python 3.11)
        self._tasks_made += 1
        return _NumberedTask(self._tasks_made, self, coro, **kwargs)

    # ---- one turn ----------------------------------------------------------------------------------------------

    def _run_once(self) -> None:
        if self._intruder:
            intruder, self._intruder = self._intruder, ""
            raise ThreadForbidden(f"thread {intruder!r} called into virtual time")
        if self._spun > _SPIN_LIMIT:
            self._spun = 0
            raise VirtualSpin(
                f"more than {_SPIN_LIMIT} callbacks at time {self._time}; next: {next(iter(self._ready), None)!r}"
            )
        self._drop_cancelled_timers()
        if not self._ready and not self._stopping:
            if not self._scheduled:
                raise VirtualDeadlock(self._who_waits())
            if self._scheduled[0].when() > self._time:
                self._time = self._scheduled[0].when()
                self._spun = 0
        while self._scheduled and self._scheduled[0].when() <= self._time:
            self._ready.append(heapq.heappop(self._scheduled))
        if self._rng is not None and len(self._ready) > 1:
            batch = self._interleaved(self._rng, list(self._ready))
            self._ready.clear()
            self._ready.extend(batch)
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            process = _owner(handle)
            if handle.cancelled():
                continue
            if process is not None and process.frozen:
                process.held.append(handle)
            else:
                self._run(handle)

    def _run(self, handle: asyncio.Handle) -> None:
        self._spun += 1
        others, cancels = len(self._ready), self.cancels
        handle._run()
        if self.cancels > cancels + 1:
            # anyio keeps a scope's children in a set of objects that hash by address, so the order in which one
            # cancellation reaches several tasks differs from run to run: put it in the order of the tasks.
            fresh = [self._ready.pop() for _ in range(len(self._ready) - others)]
            fresh.reverse()
            self._ready.extend(sorted(fresh, key=_task_number))

    def _drop_cancelled_timers(self) -> None:
        while self._scheduled and self._scheduled[0].cancelled():
            heapq.heappop(self._scheduled)

    @staticmethod
    def _interleaved(rng: random.Random, batch: Sequence[asyncio.Handle]) -> Sequence[asyncio.Handle]:
        """Return `batch` with the processes' shares shuffled together, each share in its own order."""
        shares: dict[Process | None, deque[asyncio.Handle]] = {}
        for handle in batch:
            shares.setdefault(_owner(handle), deque()).append(handle)
        if len(shares) < 2:
            return batch
        turns = [owner for owner, share in shares.items() for _ in share]
        rng.shuffle(turns)
        return [shares[owner].popleft() for owner in turns]

    def take_back(self, process: Process) -> None:
        """Make what a thawed process missed ready."""
        held, process.held = process.held, []
        if self._rng is not None:
            self._rng.shuffle(held)
        self._ready.extend(held)

    # ---- what there is not -------------------------------------------------------------------------------------

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        del executor, args
        raise ThreadForbidden(f"run_in_executor({func!r}) within virtual time: use a backend without threads")

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        if threading.get_ident() != self._thread:
            self._intruder = threading.current_thread().name
            raise ThreadForbidden("a thread called into virtual time")
        return self.call_soon(callback, *args, context=context)

    # ---- the end -----------------------------------------------------------------------------------------------

    def _who_waits(self) -> str:
        lines = ["nothing is ready and no timer is set; these tasks wait for what will never come:"]
        for task in self._tasks():
            frames = task.get_stack(limit=1)
            where = f"{frames[-1].f_code.co_filename}:{frames[-1].f_lineno}" if frames else "its start"
            lines.append(f"  {task.get_name()} at {where}: {task.get_coro()!r}")
        frozen = [process.name for process in self.processes if process.frozen and not process.killed]
        if frozen:
            lines.append(f"  (frozen processes: {', '.join(frozen)})")
        return "\n".join(lines)

    def _tasks(self) -> list[_NumberedTask]:
        return sorted((task for task in asyncio.all_tasks(self) if isinstance(task, _NumberedTask)), key=hash)

    def tear_down(self) -> None:
        """Cancel what is left, killed processes too, and close."""
        for process in self.processes:
            process.killed = False
            process.thaw()
        try:
            cancelled: set[_NumberedTask] = set()
            while left := [task for task in self._tasks() if task not in cancelled]:
                # A task that never ran is let run first: cancelled before, it would leave behind the coroutine that
                # anyio wrapped, never awaited.
                begun = [task for task in left if task.begun]
                for task in begun:
                    task.cancel()
                cancelled.update(begun)
                self.run_until_complete(asyncio.sleep(0))
            if left := self._tasks():
                self.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.run_until_complete(self.shutdown_asyncgens())
        finally:
            self.close()


def _owner(handle: asyncio.Handle) -> Process | None:
    context: Context = handle._context  # type: ignore[attr-defined]  # where asyncio itself looks
    return context.get(_current)


def _task_number(handle: asyncio.Handle) -> int:
    task = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]  # as asyncio's own repr does
    return task.number if isinstance(task, _NumberedTask) else 0
