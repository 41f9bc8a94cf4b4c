"""One worker process of the drill: a worker like any other, with a protection taken away where the drill says so."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import anyio

from jobkit.backends.connect import open_planes
from jobkit.drill import plugin
from jobkit.drill.broken import BROKEN_VARIABLE, SHARED_VARIABLE, Protection, never_checking_leases, without
from jobkit.ids import new_owner
from jobkit.logs import configure_logging
from jobkit.plugins import Registry
from jobkit.settings import load_settings
from jobkit.telemetry.exporting import MetricsPage, exporting
from jobkit.worker import Worker


async def work() -> None:
    """Work until told to stop."""
    settings = load_settings()
    configure_logging(settings, at_least="info")
    broken = os.environ.get(BROKEN_VARIABLE)
    if broken == Protection.FENCING:
        never_checking_leases()
    owner, page = new_owner(), MetricsPage()
    async with open_planes(settings) as planes:
        seen = without(Protection(broken) if broken else None, planes, Path(os.environ[SHARED_VARIABLE]))
        with exporting(instance=owner, page=page):
            registry = Registry([plugin.upload, plugin.transcode])
            worker = Worker(seen, registry, plugin.TYPES, settings, owner=owner, page=page)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_drain_when_told, worker)
                await worker.run()
                tasks.cancel_scope.cancel()


async def _drain_when_told(worker: Worker) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            worker.drain()


if __name__ == "__main__":
    anyio.run(work)
