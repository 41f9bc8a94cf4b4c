"""A transcode that is cancelled: what it runs is ended, on a real worker process, which goes on with the next job."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import anyio
import pytest

from jobkit.ops.verify import verify
from jobkit.ports.inspection import JobState
from tests.acceptance.site import open_site, until
from workers.transcode.ffmpeg import required_ffmpeg
from workers.transcode.sample import make_sample
from workers.transcode.settings import TranscodeSettings

# Long enough for any machine: what is waited for comes within a second, or never.
_PATIENCE_SECONDS = 60.0


def _endless(directory: Path) -> tuple[Path, Path]:
    """Return an ffmpeg that never ends what it encodes, on no machine, and the file in which it says its process.

    Once there is another one beside it, with `.over` behind its name, it is an ordinary ffmpeg.
    """
    program, running = directory / "ffmpeg", directory / "running"
    real, said = (shlex.quote(str(path)) for path in (required_ffmpeg(TranscodeSettings().ffmpeg), running))
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *-progress*) if [ ! -e {said}.over ]; then\n'
        f'  {real} "$@" & echo $$ > {said}.new; mv {said}.new {said}; sleep 3600\nfi;; esac\n'
        f'exec {real} "$@"\n'
    )
    program.chmod(0o755)
    return program, running


def _there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
async def test_a_cancelled_transcodes_ffmpeg_is_ended_and_its_worker_goes_on(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    source = await make_sample(sources / "clip.mp4", seconds=1, size=(160, 90))
    program, running = _endless(tmp_path)
    variables = {
        "JOBKIT_TRANSCODE_SOURCE_ROOTS": str(sources),
        "JOBKIT_TRANSCODE_THREADS": "1",
        "JOBKIT_TRANSCODE_FFMPEG": str(program),
    }
    async with open_site(tmp_path, PLUGINS="") as site:
        site.start("transcode", **variables)
        await site.client.submit("transcode", {"video_id": "clip", "source": str(source)}, id="clip")

        async def encoding() -> bool:
            return running.exists()

        await until(encoding, within=_PATIENCE_SECONDS, what="the worker runs ffmpeg")
        group = int(running.read_text())
        assert _there(group)
        await anyio.Path(f"{running}.over").touch()
        assert (await site.client.cancel("clip", reason="the video was deleted")).cancelled

        async def ended() -> bool:
            return not _there(group)

        await until(ended, within=_PATIENCE_SECONDS, what="the cancelled job's ffmpeg ends")
        # The same video, as another job: the key goes on, and nothing of the cancelled one is seen.
        key = await site.planes.inspection.key("transcode", "clip")
        assert key is not None
        assert key.manifest == ()
        last = await site.client.submit("transcode", {"video_id": "clip", "source": str(source)})
        async for record in site.client.watch(last.id, timeout=2 * _PATIENCE_SECONDS):
            after = record
        assert after.state is JobState.COMMITTED
        record = await site.client.status("clip")
        assert (record.state, record.reason, record.failures) == (JobState.CANCELLED, "the video was deleted", ())
        assert (await verify(site.planes)).findings == []
