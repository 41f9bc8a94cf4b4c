"""A whole worker in virtual time, whose backends refuse it once it runs: a login, a certificate, a permission."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from jobkit import Context, processor
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.plane import Plane
from jobkit.ports.blobs import Blobs, StoredObject
from jobkit.worker.backend_refusals import Refusals
from tests.faults.doubles import Call
from tests.steps import Step, loose, step
from tests.virtual_site import in_virtual_time, open_site
from tests.witness import Witness

WORDS = "the server refuses this user or password"


async def refusing(call: Call) -> Any:
    """The backend refuses whoever asks."""
    raise ConfigurationError(WORDS)


@pytest.mark.parametrize("seconds", [6.0, 300.0])
@pytest.mark.parametrize("plane", ["broker", "coordinator", "store"])
@in_virtual_time
async def test_a_worker_waits_for_a_backend_that_refuses_it_and_goes_on(plane: str, seconds: float) -> None:
    """nothing-lost, loud: a person has time to mend it, and no job is the worse for it."""
    async with open_site(step, loose) as site:
        worker = site.start()
        await site.until(lambda: site.faults.calls["broker.consume"] == 4)
        assert worker.worker.ready()["no_backend_refuses"]
        site.faults.always(f"{plane}.*", refusing)
        if plane == "broker":
            site.faults.close_consumers()
        jobs = [await site.client.submit(type, Step(number=number)) for number in (1, 2) for type in ("step", "loose")]
        await site.clock.sleep(seconds)
        assert not worker.ended.is_set()
        assert not worker.worker.ready()["no_backend_refuses"]
        told = site.witness.count("jobkit.refusals", {"plane": plane})
        assert 1 <= told <= 1 + seconds / 60
        assert len(site.witness.lines("backend refuses this worker, which waits: a person must mend it")) == told
        site.faults.heal()
        for job in jobs:
            record = await site.ended(job.id)
            assert (record.state, record.failures) == ("committed", ())
        assert worker.worker.ready()["no_backend_refuses"]
        assert site.witness.lines("backend accepts this worker again")
        await site.at_rest()


@in_virtual_time
async def test_at_the_start_a_refusal_is_a_wrong_setting() -> None:
    async with open_site(step) as site:
        site.faults.once("broker.declare", refusing)
        worker = site.start()
        await worker.ended.wait()
        error, worker.error = worker.error, None
        assert isinstance(error, ConfigurationError)


class _RefusingBlobs:
    """A bucket whose keys have expired, until they are renewed."""

    def __init__(self) -> None:
        self.refusing = True

    @asynccontextmanager
    async def scratch(self, space: object) -> AsyncIterator[Path]:
        if self.refusing:
            raise ConfigurationError("the credentials are not accepted (ExpiredToken)")
        yield Path("/nowhere")

    async def objects(self) -> AsyncIterator[StoredObject]:
        return
        yield

    async def aclose(self) -> None: ...


@in_virtual_time
async def test_a_login_that_expired_is_no_failure_of_the_jobs_that_write_files() -> None:
    """Only what the job did counts: neither attempts nor starts, however long it takes to be mended."""
    blobs = _RefusingBlobs()
    runs = 0

    @processor("writing", key=lambda job: job.on)
    async def writing(job: Step, ctx: Context) -> None:
        nonlocal runs
        runs += 1
        await ctx.workdir()

    async with open_site(writing, max_opens=2) as site:
        site.planes = replace(site.planes, blobs=cast(Blobs, blobs))
        site.start("first")
        job = await site.client.submit("writing", Step())
        await site.until(lambda: runs > 20, within=300)
        # Also where the job goes to another worker meanwhile.
        await site.workers[0].drain()
        site.start("second")
        await site.until(lambda: runs > 40, within=300)
        blobs.refusing = False
        record = await site.ended(job.id)
        assert (record.state, record.failures) == ("committed", ())
        assert site.witness.count("jobkit.refusals", {"plane": "blobs"}) >= 1
        await site.at_rest()


@in_virtual_time
async def test_a_full_disk_is_no_failure_of_the_jobs_that_write_to_it() -> None:
    runs = 0

    @processor("filling", key=lambda job: job.on)
    async def filling(job: Step, ctx: Context) -> None:
        nonlocal runs
        runs += 1
        if runs % 2 and runs < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        if runs < 20:
            try:
                raise OSError(errno.EDQUOT, "Disk quota exceeded")
            except OSError as error:
                raise RuntimeError("the encoder ended with code 1") from error

    async with open_site(filling, max_opens=2) as site:
        site.start("first")
        job = await site.client.submit("filling", Step())
        record = await site.ended(job.id, 300)
        assert (record.state, record.failures, runs) == ("committed", (), 20)
        assert "no room on the disk" in str(site.witness.lines("backend unavailable")[0]["error"])
        await site.at_rest()


async def test_what_no_other_setting_would_mend_stays_as_it_is() -> None:
    """A blob's own fault is the job's; what is refused in the middle of a list is trouble like any other."""

    class Backend:
        async def store(self) -> None:
            raise ValueError("not a usable blob name")

        async def objects(self) -> AsyncIterator[str]:
            yield "one"
            raise ConfigurationError(WORDS)

        @property
        def max_body_bytes(self) -> int:
            return 5

    witness = Witness()
    refusals = Refusals(_Still(), witness.telemetry)
    guarded: Any = refusals._guarded(Plane.BROKER, Backend())
    assert guarded.max_body_bytes == 5
    with pytest.raises(ValueError, match="usable"):
        await guarded.store()
    assert not refusals.any
    objects = guarded.objects()
    assert await anext(objects) == "one"
    with pytest.raises(Unavailable, match="password") as caught:
        await anext(objects)
    assert isinstance(caught.value.__cause__, ConfigurationError)
    assert refusals.any


class _Still:
    """A clock that stands still."""

    def now(self) -> float:
        return 0.0

    def wall(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None: ...
