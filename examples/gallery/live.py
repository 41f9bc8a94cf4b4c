"""How a job goes, as server-sent events: what the page's `EventSource` listens to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from urllib.parse import quote

from heard import Heard

from jobkit import Handle
from jobkit.errors import JobFailed
from workers.transcode import TranscodeResult


async def told_live(handle: Handle[TranscodeResult], heard: Heard) -> AsyncIterator[str]:
    """Yield events: `progress`, then `ready` and `announced`, or `failed`."""
    async for progress in handle.progress():
        yield _event("progress", state=progress.state, fraction=progress.fraction, message=progress.message)
    try:
        result = await handle.result()
    except JobFailed as error:
        yield _event("failed", why=str(error))
        return
    yield _event("ready", playlist=f"/files/transcode/{quote(result.video_id)}/{result.hls_master}")
    announced = await heard.of(handle.id)
    yield _event("announced", at=announced["timestamp"])


def _event(name: str, **data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
