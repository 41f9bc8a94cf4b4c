"""What a job of type `transcode.chunk` takes and what it returns: the pictures of a chunk, or all sounds of a video."""

from __future__ import annotations

from jobkit import Payload, Result
from workers.transcode.chunks import Chunk
from workers.transcode.plan import TranscodePlan
from workers.transcode.settings import TranscodeSettings


class Encoding(Result):
    """The settings that chunks must share to be put together, whichever workers encode them."""

    preset: str
    crf: int
    segment_seconds: float

    def of(self, settings: TranscodeSettings) -> TranscodeSettings:
        """Return settings of a worker with these in them."""
        return settings.model_copy(update=self.model_dump())


class TranscodeChunk(Payload):
    """A part of a video to encode for the job `parent`, which made it; `chunk` is None for the sounds and texts.

    The source must still have the `size` in bytes, and the time of its last change, `modified`, in nanoseconds.
    """

    parent: str
    source: str
    size: int
    modified: int
    plan: TranscodePlan
    encoding: Encoding
    chunk: Chunk | None

    @property
    def name(self) -> str:
        """What its key ends in."""
        return "sound" if self.chunk is None else str(self.chunk.number)


class EncodedChunk(Result):
    """What was made of a part: how many pictures each rendition has, in how many bytes in all, and of which names."""

    pictures: int
    size: int
    files: tuple[str, ...]
