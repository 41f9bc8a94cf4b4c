"""Workers stopped for longer than their lease, then continued: the paused leader of the incident."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path

import anyio
import psutil
import pytest

from jobkit.errors import Unavailable
from jobkit.ops.verify import verify
from jobkit.ports.coordinator import Member
from jobkit.ports.inspection import JobState
from tests.acceptance.plugin import Step
from tests.acceptance.site import Site, WorkerProcess, open_site, until
from workers.transcode.ffmpeg import required_ffmpeg
from workers.transcode.sample import make_sample
from workers.transcode.settings import TranscodeSettings


async def _pause(site: Site, worker: WorkerProcess) -> None:
    """Stop `worker` at a moment when it is not within a transaction, which would stop everybody on its machine."""
    while True:
        worker.signal(signal.SIGSTOP)
        try:
            with anyio.fail_after(2):
                await site.planes.coordinator.heartbeat(Member("test", ()), ttl=1)
        except (TimeoutError, Unavailable):
            worker.signal(signal.SIGCONT)
        else:
            return


def _is_ffmpeg(process: psutil.Process) -> bool:
    try:
        return "ffmpeg" in "".join(process.cmdline()[:1])
    except psutil.Error:
        # It ended while it was looked at.
        return False


async def test_a_paused_workers_write_is_refused_and_the_other_result_stands(tmp_path: Path) -> None:
    """fencing, single-effect."""
    async with open_site(tmp_path) as site:
        submitted = await site.client.submit("test.slow", Step(on="one", number=1, seconds=3))
        paused = site.start("test.slow")

        async def begun() -> bool:
            return (await site.client.status(submitted.id)).progress > 0

        await until(begun, within=60, what="the first worker begins")
        before = await site.client.status(submitted.id)
        await _pause(site, paused)
        other = site.start("test.slow")
        async for record in site.client.watch(submitted.id, timeout=90):
            after = record
        assert after.state is JobState.COMMITTED

        paused.signal(signal.SIGCONT)

        async def given_up() -> bool:
            return paused.said("lease lost") or paused.said("attempt interrupted")

        await until(given_up, within=60, what="the paused worker notices")
        assert str(other.pid) in (after.owner or "")
        assert await site.client.status(submitted.id) == after
        (entry,) = await site.planes.inspection.log("test.slow", "one")
        assert entry.token == after.token
        assert before.token is not None
        assert entry.token > before.token
        assert (await verify(site.planes)).findings == []


@pytest.mark.slow
async def test_a_paused_workers_ffmpeg_is_gone_and_the_other_transcode_stands(tmp_path: Path) -> None:
    """fencing, no-lease-no-work: what the stopped worker left running ends once it can be told."""
    sources = tmp_path / "sources"
    sources.mkdir()
    source = sources / "clip.mp4"
    await make_sample(source, seconds=16, size=(160, 90))
    variables = {"JOBKIT_TRANSCODE_SOURCE_ROOTS": str(sources), "JOBKIT_TRANSCODE_THREADS": "1"}
    # As fast as the source plays, on any machine, so that there is time to stop it in the middle.
    slow = tmp_path / "ffmpeg"
    slow.write_text(f'#!/bin/sh\nexec {shlex.quote(str(required_ffmpeg(TranscodeSettings().ffmpeg)))} -re "$@"\n')
    slow.chmod(0o755)
    async with open_site(tmp_path, PLUGINS="") as site:
        submitted = await site.client.submit("transcode", {"video_id": "clip", "source": str(source)})
        paused = site.start("transcode", JOBKIT_TRANSCODE_FFMPEG=str(slow), **variables)

        def encoders() -> list[psutil.Process]:
            return [child for child in psutil.Process(paused.pid).children(recursive=True) if _is_ffmpeg(child)]

        async def encoding() -> bool:
            return bool(encoders())

        await until(encoding, within=60, what="the first worker runs ffmpeg")
        await _pause(site, paused)
        while not (left := encoders()):
            # It was between two programs.
            paused.signal(signal.SIGCONT)
            await until(encoding, within=60, what="the first worker runs ffmpeg")
            await _pause(site, paused)
        other = site.start("transcode", **variables)
        async for record in site.client.watch(submitted.id, timeout=120):
            after = record
        assert after.state is JobState.COMMITTED
        assert str(other.pid) in (after.owner or "")

        paused.signal(signal.SIGCONT)

        async def ended() -> bool:
            return not any(process.is_running() for process in left)

        await until(ended, within=30, what="the paused worker's ffmpeg ends")
        assert await site.client.status(submitted.id) == after
        assert (await verify(site.planes)).findings == []
