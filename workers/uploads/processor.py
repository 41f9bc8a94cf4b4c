"""The processor of job type `upload`: one event of an upload session.

The event, the session it adds up to, and the transcode job that a completed session asks for are one commit.
"""

from __future__ import annotations

from datetime import timedelta

from jobkit import Context, Reject, Result, processor
from workers.transcode import Transcode
from workers.uploads.events import UploadEvent, VideoChunkReceived, VideoUploadCompleted, VideoUploadStarted
from workers.uploads.session import UploadSession, UploadState, session


class UploadProgress(Result):
    """Where the session stands after the event. `missing` counts the chunks that are known to be missing."""

    state: UploadState
    chunks: int
    size: int
    missing: int


class _Chunk(Result):
    """What a chunk was when it came first."""

    size: int
    sha256: str


@processor(
    "upload",
    key=lambda job: job.session_id,
    ordered=True,
    timeout=timedelta(seconds=30),
    projections=[session],
)
async def upload(job: UploadEvent, ctx: Context) -> UploadProgress:
    """Append one event to its session. One that was there before changes nothing; a contradiction is rejected."""
    before = await ctx.state(session)
    if await _is_news(job, before, ctx):
        ctx.append(job.event.kind, job.event)
    after = await ctx.state(session)
    if after.state is UploadState.COMPLETED and before.state is not UploadState.COMPLETED:
        assert after.video_id is not None and after.source is not None  # noqa: S101, PT018  (a completed one has both)
        payload = Transcode(video_id=after.video_id, source=after.source)
        # Named after the session, so that no session can ever ask for two.
        ctx.submit("transcode", payload, id=f"upload-{job.session_id}")
    missing = sum(span.last - span.first + 1 for span in after.missing)
    return UploadProgress(state=after.state, chunks=after.chunks, size=after.size, missing=missing)


async def _is_news(job: UploadEvent, before: UploadSession, ctx: Context) -> bool:
    """Return whether the event says something new. Raises `Reject` where it contradicts what is known."""
    match job.event:
        case VideoChunkReceived() as chunk:
            return await _is_new_chunk(chunk, before, ctx)
        case VideoUploadStarted(video_id=video_id, source=source):
            return _is_first("VideoUploadStarted", (before.video_id, before.source), (video_id, source))
        case VideoUploadCompleted(chunks=chunks, size=size):
            return _is_first("VideoUploadCompleted", (before.announced_chunks, before.announced_size), (chunks, size))


def _is_first(kind: str, known: tuple[object, object], said: tuple[object, object]) -> bool:
    if known == (None, None):
        return True
    if known != said:
        raise Reject(f"{kind} says {said}, but this session was told {known} before")
    return False


async def _is_new_chunk(event: VideoChunkReceived, before: UploadSession, ctx: Context) -> bool:
    chunk = _Chunk(size=event.size, sha256=event.sha256)
    name = f"chunk:{event.index}"
    known = await ctx.read(name, _Chunk)
    if known is not None and known != chunk:
        raise Reject(f"chunk {event.index} was received before with other content")
    if before.announced_chunks is not None and event.index >= before.announced_chunks:
        raise Reject(f"chunk {event.index} is not one of the {before.announced_chunks} that the client has announced")
    ctx.record(name, chunk)
    return known is None
