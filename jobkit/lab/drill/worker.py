"""One worker process of the drill: a worker like any other, with a protection taken away where the drill says so."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import anyio

from jobkit.backends.registry import open_planes
from jobkit.lab.drill import plugin
from jobkit.lab.drill.late_commit import LateStore
from jobkit.lab.drill.protections import BROKEN_VARIABLE, SHARED_VARIABLE, Protection, never_checking_leases, without
from jobkit.model.clock import SystemClock
from jobkit.plugin.registry import Registry
from jobkit.settings import load_settings
from jobkit.telemetry.logging import configure_logging
from jobkit.worker.signals import serve


async def work() -> int:
    """Work until told to stop; return the exit code of the process."""
    settings = load_settings()
    configure_logging(settings, at_least="info")
    named = os.environ.get(BROKEN_VARIABLE)
    broken = Protection(named) if named else None
    if broken is Protection.FENCING:
        never_checking_leases()
    async with open_planes(settings) as planes:
        shared = Path(os.environ[SHARED_VARIABLE])
        seen = without(broken, planes, shared)
        seen = replace(seen, store=LateStore(seen.store, shared))
        return await serve(seen, Registry(plugin.processors(broken)), plugin.TYPES, settings, SystemClock())


if __name__ == "__main__":
    sys.exit(anyio.run(work))
