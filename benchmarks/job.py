"""What every contender's job does, and how its worker process tells when it was done.

A worker is told by environment variables what it runs on. The clock runs from when a tenth of the jobs were done to
when all were, so that no start-up counts; the last acks are still to come by then, at most a prefetch of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from pathlib import Path

IO_SECONDS = 0.005
# Enough that 5 ms of waiting never leaves the processor idle.
CONCURRENCY = 256
PREFETCH = 250
THREADS = 64

BROKER_URL = os.environ.get("BENCHMARKS_BROKER_URL", "")
WITH_IO = os.environ.get("BENCHMARKS_KIND") == "io"
JOBS = int(os.environ.get("BENCHMARKS_JOBS", "0"))
RESULT = os.environ.get("BENCHMARKS_RESULT", "")

_lock = threading.Lock()
_done = 0
_began = (0.0, 0.0)


async def work() -> None:
    """Do one job."""
    if WITH_IO:
        await asyncio.sleep(IO_SECONDS)
    _count()


def work_in_thread() -> None:
    """Do one job without an event loop."""
    if WITH_IO:
        time.sleep(IO_SECONDS)
    _count()


def _count() -> None:
    global _done, _began
    with _lock:
        _done += 1
        if _done == JOBS // 10:
            _began = (time.perf_counter(), time.process_time())
        elif _done == JOBS:
            counted = JOBS - JOBS // 10
            seconds, used = time.perf_counter() - _began[0], time.process_time() - _began[1]
            found = {"jobs_per_second": counted / seconds, "cpu_microseconds_per_job": used / counted * 1e6}
            # Renamed when it is whole: somebody looks for it.
            draft = Path(RESULT + ".draft")
            draft.write_text(json.dumps(found))
            draft.rename(RESULT)
