"""`jobkit worker`: runs jobs until it is told to stop.

The first SIGTERM or SIGINT drains: no new jobs, running ones may finish. The second ends the process at once, and
its jobs run again elsewhere.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import EnvFile
from jobkit.errors import ConfigurationError

if TYPE_CHECKING:
    from types import FrameType

    from jobkit.cli.session import Session
    from jobkit.plugins import Registry
    from jobkit.ports.planes import Planes
    from jobkit.worker import Worker


# So many more objects are made than went, at most, before the youngest of them are looked through.
_COLLECT_AFTER = 20_000


def worker(
    context: typer.Context,
    types: Annotated[
        list[str] | None, typer.Argument(metavar="[TYPE]...", help="The job types to serve. Default: all there are.")
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", "-c", min=1, max=10_000, help="Replaces JOBKIT_CONCURRENCY."),
    ] = None,
    env_file: EnvFile = None,
) -> None:
    """Run jobs until told to stop: Ctrl-C or SIGTERM lets running jobs finish, a second one ends at once."""
    from dataclasses import replace

    from jobkit.cli.session import Session

    session = Session.begin(context, env_file, log_at_least="debug")
    if concurrency is not None:
        # Only checked fields are changed, so the copy needs no second validation.
        session = replace(session, settings=session.settings.model_copy(update={"concurrency": concurrency}))
    registry = session.registry()
    served = _served(registry, types or [])
    session.call(lambda planes: serve(planes, registry, served, session), limit=None)


def _served(registry: Registry, types: list[str]) -> list[str]:
    """Return the types to serve, each once. Raises `UnknownType`, or `ConfigurationError` where there is none."""
    import structlog

    if types:
        return [registry.get(type).name for type in dict.fromkeys(types)]
    for type, reason in registry.broken.items():
        structlog.get_logger("jobkit").warning("job type not served", type=type, reason=reason)
    if not registry.processors:
        raise ConfigurationError(
            "there is nothing to serve: no processors are installed, and JOBKIT_PLUGINS names none; "
            "`jobkit new-plugin NAME` makes one to start from"
        )
    return sorted(registry.processors)


async def serve(planes: Planes, registry: Registry, types: list[str], session: Session) -> None:
    """Run a worker until signals end it."""
    from jobkit.ids import new_owner
    from jobkit.telemetry.exporting import MetricsPage, exporting
    from jobkit.worker import Worker

    owner = new_owner()
    page = None if session.settings.health_port is None else MetricsPage()
    with exporting(instance=owner, page=page):
        worker = Worker(planes, registry, types, session.settings, clock=session.clock, owner=owner, page=page)
        _collect_seldom()
        with _obeying_signals(worker) as received:
            await worker.run()
    if len(received) > 1:
        raise typer.Exit(128 + received[1])


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
