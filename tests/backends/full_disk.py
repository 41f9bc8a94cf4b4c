"""Works on a disk until it is full, makes room, and works on; run by `test_faults.py` on a tiny disk of its own."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from jobkit.backends.registry import open_planes
from jobkit.errors import Unavailable
from jobkit.model.blob import BlobSpace
from jobkit.model.fence import Fence
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Committed, Effects, LogEntry, NewJob, Opened
from jobkit.settings import Settings
from jobkit.testing.conformance.values import envelope


async def work(disk: Path) -> None:
    url = f"sqlite:///{disk}/jobkit.db"
    settings = Settings.model_validate(
        {"broker_url": url, "coordinator_url": url, "store_url": url, "blobs_url": f"file://{disk}/blobs"}
    )
    ballast = disk / "ballast"
    async with open_planes(settings) as planes:
        store = planes.store
        ballast.write_bytes(bytes(1024 * 1024))
        # A second name: the blobs may not take it away, so they have to copy it.
        (disk / "other name").hardlink_to(ballast)
        done, accepted, refused = 0, 0, 0
        while refused < 5:
            job = envelope(f"job {done + refused}", body=b'"' + b"x" * 20_000 + b'"')
            try:
                await store.submit([NewJob(job, ordered=False)])
                accepted += 1
                under = Fence(done + 1, f"n{done}", "me")
                assert isinstance(await store.open(job, under), Opened)
                answer = await store.commit(
                    job, under, Effects(entries=[LogEntry("done", b'"' + b"y" * 20_000 + b'"')])
                )
                assert isinstance(answer, Committed)
                done += 1
            except Unavailable as error:
                if "full" not in str(error):
                    raise
                refused += 1
        counts = await planes.inspection.counts()
        assert counts.jobs[JobState.COMMITTED] == done, (counts, done)
        assert sum(counts.jobs.values()) == accepted, (counts, accepted)
        assert len(await planes.inspection.log("t", "k", limit=100_000)) == done
        space = BlobSpace("t", "k", Fence(1, "n", "me"))
        try:
            async with planes.blobs.scratch(space) as scratch:
                await planes.blobs.store(space, "large", ballast)
            raise AssertionError("there was room for a copy of the ballast")
        except Unavailable as error:
            if "full" not in str(error):
                raise
        # Once there is room, the same process goes on.
        ballast.unlink()
        (disk / "other name").unlink()
        job = envelope("last")
        await store.submit([NewJob(job, ordered=False)])
        under = Fence(10**6, "last", "me")
        assert isinstance(await store.open(job, under), Opened)
        assert isinstance(await store.commit(job, under, Effects()), Committed)
        async with planes.blobs.scratch(space) as scratch:
            (scratch / "small").write_bytes(b"small")
            await planes.blobs.store(space, "small", scratch / "small")
        assert done > 0
    print("worked on after", done)


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1])))
