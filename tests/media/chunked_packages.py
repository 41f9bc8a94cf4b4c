"""What workers make of a source in chunks, in a site of their own."""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import patch

import anyio

from tests.media.ffmpegs import Ffmpeg
from tests.transcode.split_bench import split_site
from workers.transcode import TranscodeResult


def transcoded_in_chunks(
    file: Path, folder: Path, ffmpeg: Ffmpeg, *, ladder: tuple[int, ...]
) -> tuple[Path, TranscodeResult]:
    """Have two workers transcode a file in chunks of one segment; return the folder of its outputs, and its result."""
    settings = {
        "source_roots": str(file.parent),
        "ffmpeg": str(ffmpeg.program),
        "preset": "veryfast",
        "segment_seconds": "2",
        "chunk_seconds": "2",
        "ladder": ",".join(map(str, ladder)),
        "threads": "1",
        "stall_timeout": "240",
    }

    async def run() -> TranscodeResult:
        async with split_site() as site:
            for _ in range(2):
                site.start()
            result = await site.transcode(str(file), split=True)
            assert await site.planes.inspection.jobs(type="transcode.chunk")
            await site.files(folder)
        return result

    with patch.dict(os.environ, {f"JOBKIT_TRANSCODE_{name.upper()}": value for name, value in settings.items()}):
        return folder, anyio.run(run)
