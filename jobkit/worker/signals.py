"""A worker as the whole business of a process: its metrics and spans, the signals that end it, its garbage collector.

The first SIGTERM or SIGINT drains: no new jobs, running ones may finish. The second ends the process at once, and
its jobs run again elsewhere.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from jobkit.model.clock import Clock
from jobkit.model.ids import new_owner
from jobkit.plugin.registry import Registry
from jobkit.ports.planes import Planes
from jobkit.settings import Settings
from jobkit.telemetry.exporting import MetricsPage, exporting
from jobkit.worker.worker import Worker

# So many more objects are made than went, at most, before the youngest of them are looked through. What is under way
# with a full prefetch comes and goes by tens of thousands, none of it garbage.
_COLLECT_AFTER = 50_000


async def serve(planes: Planes, registry: Registry, types: Sequence[str], settings: Settings, clock: Clock) -> int:
    """Run a worker until signals end it; return the exit code of the process. Errors as for `Worker.run`."""
    owner = new_owner()
    page = None if settings.health_port is None else MetricsPage()
    with exporting(instance=owner, page=page):
        worker = Worker(planes, registry, types, settings, clock=clock, owner=owner, page=page)
        _collect_seldom()
        with _obeying_signals(worker) as received:
            await worker.run()
    return 128 + received[1] if len(received) > 1 else 0


def _collect_seldom() -> None:
    """Look for garbage in cycles less often than the interpreter does by itself, and not among what is here for good.

    A short job makes hundreds of objects that go as soon as nobody uses them; to look through all there are every 700
    of them took a fifth of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 10, 10)


@contextmanager
def _obeying_signals(worker: Worker) -> Iterator[list[int]]:
    """Drain at the first signal, stop at the second; lend the list of those that came.

    A third one ends the process as if nobody had listened: by then the event loop must be stuck, in a processor
    that blocks it. For that, the handlers are the interpreter's own, which need no event loop to run.
    """
    loop = asyncio.get_running_loop()
    received: list[int] = []

    def receive(number: int, _: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:
            loop.call_soon_threadsafe(worker.drain)
        elif len(received) == 2:
            loop.call_soon_threadsafe(worker.stop)
        else:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    before = {number: signal.signal(number, receive) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
