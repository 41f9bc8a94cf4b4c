"""A thread in whose event loop a client lives, for callers in any other thread and in any process.

It begins with the first call, and anew in a process that was forked: of a thread a fork copies nothing but its memory.
A fork waits while a client is being opened, and until no SQLite transaction of the process is under way.
What the parent had open is left alone in the child, so that the parent does not notice. It keeps no program from
ending: what is not closed by then is cut off, as by a crash, which every backend bears.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import threading
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import anyio
from anyio.from_thread import BlockingPortal

T = TypeVar("T")
C = TypeVar("C")

# What is not open by then is stuck, and a fork is not to be.
_OPENING_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class _Running(Generic[C]):
    """What was opened in the loop, and the way into it. `ended` is done once all of it is closed."""

    client: C
    portal: BlockingPortal
    selector: selectors.BaseSelector
    ended: Future[None]


class LoopThread(Generic[C]):
    """Opens a client in a loop of its own, and runs calls of it there. Thread-safe and fork-safe."""

    def __init__(self, open: Callable[[], AbstractAsyncContextManager[C]]) -> None:
        self._open = open
        self._lock = threading.Lock()
        self._running: _Running[C] | None = None
        self._closed = False
        self._left_to_parent: list[_Running[C]] = []
        _all.add(self)

    def call(self, function: Callable[[C], Awaitable[T]], wait: Callable[[Future[T]], T] | None = None) -> T:
        """Run `function` of the client, `wait` for it, and return what it returns or raise what it raises.

        Where the wait is broken off, as by Ctrl-C, so is the call.
        """
        running = self._begun()
        future = running.portal.start_task_soon(function, running.client)
        try:
            return future.result() if wait is None else wait(future)
        except BaseException:
            future.cancel()
            raise

    def lend(self, open: Callable[[C], AbstractAsyncContextManager[T]]) -> AbstractContextManager[T]:
        """Return a context manager that is entered and left in the loop."""
        running = self._begun()
        return running.portal.wrap_async_context_manager(open(running.client))

    def close(self) -> None:
        """Close the client and end the thread; calls of other threads are broken off. Idempotent."""
        with self._lock:
            self._closed = True
            running, self._running = self._running, None
        if running is not None:
            running.portal.start_task_soon(running.portal.stop, True)
            running.ended.result()

    def _begun(self) -> _Running[C]:
        running = self._running
        if running is not None:
            return running
        with self._lock:
            if self._closed:
                raise RuntimeError("this client is closed")
            if self._running is None:
                self._running = self._begin()
            return self._running

    def _begin(self) -> _Running[C]:
        # A selector of our own, so that a forked child can let go of it without touching what the parent waits for.
        selector = selectors.DefaultSelector()
        begun: Future[_Running[C]] = Future()
        ended: Future[None] = Future()

        async def live() -> None:
            async with self._open() as client, BlockingPortal() as portal:
                begun.set_result(_Running(client, portal, selector, ended))
                await portal.sleep_until_stopped()

        def run() -> None:
            try:
                anyio.run(live, backend_options={"loop_factory": partial(asyncio.SelectorEventLoop, selector)})
            except BaseException as error:  # noqa: BLE001  (raised where somebody waits: as it begins, or as it is closed)
                (ended if begun.done() else begun).set_exception(error)
            else:
                ended.set_result(None)

        threading.Thread(target=run, name="jobkit-client", daemon=True).start()
        return begun.result()

    def about_to_fork(self) -> bool:
        """Wait until nothing is being opened: a child would find modules half imported, and files half opened."""
        return self._lock.acquire(timeout=_OPENING_SECONDS)

    def forked_a_child(self) -> None:
        """Go on, in the parent."""
        self._lock.release()

    def forked(self) -> None:
        """Forget, in a child, what belongs to the parent."""
        # Whoever held it is not here.
        self._lock = threading.Lock()
        if self._running is not None:
            self._running.selector.close()
            self._left_to_parent.append(self._running)
            self._running = None


# What a fork must reach.
_all: weakref.WeakSet[LoopThread[Any]] = weakref.WeakSet()


_waited_for: list[LoopThread[Any]] = []


def _before_fork() -> None:
    _waited_for.extend(one for one in list(_all) if one.about_to_fork())


def _in_parent() -> None:
    while _waited_for:
        _waited_for.pop().forked_a_child()


def _in_child() -> None:
    _waited_for.clear()
    for one in list(_all):
        one.forked()


os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
