"""How long each page of the dashboard takes: `python -m benchmarks.dashboard [sqlite|redis|postgres]...`.

The store has COUNT (1,000,000) jobs, on private servers. Each page is asked for ROUNDS (20) times, each time without
what was seen before. Exits with 1 where the slowest but one in twenty takes longer than `ALLOWED_SECONDS`.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time

from benchmarks.million_jobs import RARE, RUNNING, TYPES, WORKER, fill
from jobkit.backends.registry import open_planes
from jobkit.lab.bench.place import place_for
from jobkit.lab.servers.store_server import StoreServer
from jobkit.model.clock import SystemClock
from jobkit.plugin.registry import Registry
from jobkit.settings import Settings
from jobkit.telemetry.logging import configure_logging
from jobkit.web.application import WebApplication

COUNT = int(os.environ.get("COUNT") or 1_000_000)
ROUNDS = int(os.environ.get("ROUNDS") or 20)
ALLOWED_SECONDS = 0.150


class SkippingClock:
    """The clock of this machine, put forward: what was seen a moment ago is old."""

    def __init__(self) -> None:
        self.skipped = 0.0
        self._clock = SystemClock()

    def now(self) -> float:
        """Return the time since some moment, in seconds."""
        return self._clock.now() + self.skipped

    def wall(self) -> float:
        """Return the time of day."""
        return self._clock.wall()

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await self._clock.sleep(seconds)


def _paths() -> list[str]:
    dead, done, runs, waits = 4, 50, int(COUNT * 0.65) + RUNNING // 2, COUNT - 1
    states = ("scheduled", "queued", "running", "parked", "committed", "dead", "cancelled", "expired")
    return [
        "/",
        "/jobs",
        *(f"/jobs?state={state}" for state in states),
        *(f"/jobs?state={state}&type={TYPES[0]}" for state in states),
        f"/jobs?type={RARE}",
        f"/jobs?type={RARE}&state=dead",
        "/jobs?key=k77",
        "/jobs?type=nosuch",
        f"/jobs?worker={WORKER}",
        "/jobs?worker=nobody",
        "/jobs?error=no+room",
        "/jobs?error=never+said",
        "/jobs?since=2023-11-15T00:00&until=2023-11-15T01:00",
        f"/jobs?below={COUNT // 2}",
        f"/jobs?below={COUNT // 2}&state=dead",
        *(f"/jobs/job-{number:07}" for number in (dead, done, runs, waits)),
        f"/keys/{TYPES[0]}/k{3 * 7}",
        f"/groups/job-{waits:07}",
        "/workers",
        "/dead",
        f"/dead?type={TYPES[0]}",
        "/dead/1",
        "/steering",
        "/audit",
        "/checks",
    ]


async def _asked(application: WebApplication, path: str) -> int:
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "http_version": "1.1",
    }
    status = 0

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: object) -> None:
        nonlocal status
        status = message.get("status", status) if isinstance(message, dict) else status

    await application(scope, receive, send)
    return status


async def _measure(settings: Settings, name: str) -> bool:
    configure_logging(settings.model_copy(update={"log_level": "error"}))
    async with open_planes(settings) as planes:
        began = time.monotonic()
        await fill(planes, settings, name, COUNT)
        print(f"{name}: {COUNT:,} jobs in {time.monotonic() - began:.0f} s", flush=True)
        good, clock = True, SkippingClock()
        application = WebApplication(planes, Registry([]), settings, clock=clock)
        for path in _paths():
            took = []
            for _ in range(ROUNDS + 1):
                clock.skipped += 60
                began = time.monotonic()
                status = await _asked(application, path)
                took.append(time.monotonic() - began)
            # The first one made plans, and filled caches, as after every start.
            p95 = statistics.quantiles(took[1:], n=20)[-1]
            good = good and p95 < ALLOWED_SECONDS
            print(f"  {1000 * statistics.median(took):7.1f} {1000 * p95:7.1f} ms  {status}  {path}", flush=True)
        return good


def main() -> None:
    """Measure on each store named, or on all."""
    good = True
    for name in sys.argv[1:] or ["sqlite", "redis", "postgres"]:
        servers = None if name == "sqlite" else StoreServer(name)
        with place_for(Settings(), servers) as (settings, _):
            good = asyncio.run(_measure(settings, name)) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
