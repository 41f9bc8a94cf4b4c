"""What happens to an upload session, as the services that receive uploads tell it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from jobkit import Payload

# More than S3 allows in a multipart upload; a bound on what one session can make a worker remember.
MOST_CHUNKS = 10_000


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VideoUploadStarted(_Event):
    """A client began to upload the video `video_id`; `source` is where its file will lie once it is whole."""

    kind: Literal["VideoUploadStarted"] = "VideoUploadStarted"
    video_id: Annotated[str, Field(min_length=1, max_length=200)]
    source: Annotated[str, Field(min_length=1, max_length=4096)]


class VideoChunkReceived(_Event):
    """Chunk `index` (from 0) is stored: `size` bytes, with this SHA-256 in hex."""

    kind: Literal["VideoChunkReceived"] = "VideoChunkReceived"
    index: Annotated[int, Field(ge=0, lt=MOST_CHUNKS)]
    size: Annotated[int, Field(ge=1)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class VideoUploadCompleted(_Event):
    """The client says that it has sent everything: so many chunks, and so many bytes in all."""

    kind: Literal["VideoUploadCompleted"] = "VideoUploadCompleted"
    chunks: Annotated[int, Field(ge=1, le=MOST_CHUNKS)]
    size: Annotated[int, Field(ge=1)]


Event = Annotated[VideoUploadStarted | VideoChunkReceived | VideoUploadCompleted, Field(discriminator="kind")]


class UploadEvent(Payload):
    """One event of one session. Those of a session take effect in the order in which they were submitted."""

    session_id: Annotated[str, Field(min_length=1, max_length=200)]
    event: Event
