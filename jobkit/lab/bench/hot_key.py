"""One ordered key that all jobs are on, and a worker that is far from all servers: jobs for each round trip."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from jobkit.client import Client
from jobkit.lab.bench.noop import TYPE, Noop
from jobkit.lab.bench.processes import running_workers
from jobkit.lab.bench.report import HotKey
from jobkit.lab.servers.proxied import proxied
from jobkit.ports.inspection import JobRecord

# While the first ones are under way, connections are made and statements prepared, each of them some round trips.
_FIRST = 15
_COUNTED = 30


async def measure_hot_key(
    client: Client, environment: Mapping[str, str], ended: Callable[[str], Awaitable[JobRecord]], milliseconds: float
) -> HotKey:
    """Have a worker drain one key, each of its round trips taking so long. Raises `BenchFailed`.

    `environment` names the servers, which are on this machine; `ended` returns a job's record once it has committed.
    """
    jobs = [client.job(TYPE, Noop(on="hot")) for _ in range(_FIRST + _COUNTED)]
    submissions = await client.submit_many(jobs)
    servers = {
        name: environment[name] for name in (f"JOBKIT_{plane}_URL" for plane in ("BROKER", "COORDINATOR", "STORE"))
    }
    async with proxied(servers) as (proxies, through):
        for proxy in proxies.values():
            proxy.delay(milliseconds / 2000)
        async with running_workers(TYPE, 1, {**environment, **through}):
            records = [await ended(submission.id) for submission in submissions]
    committed = sorted(record.finished_at or 0.0 for record in records)
    return HotKey(_COUNTED, milliseconds, committed[-1] - committed[_FIRST - 1])
