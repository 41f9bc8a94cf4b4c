"""What a job of type `transcode.chunk` takes and what it returns: the pictures of a chunk, or all sounds of a video."""

from __future__ import annotations

from jobkit import Payload, Result
from workers.transcode.chunk_plan import Chunk
from workers.transcode.plan import TranscodePlan

# The part that holds all sounds and texts.
SOUND = "sound"


class TranscodeChunk(Payload):
    """A part of a video to encode for the job `parent`, which made it; `chunk` is None for the sounds and texts.

    The source must still have the `size` in bytes, and the time of its last change, `modified`, in nanoseconds.
    Segments are `segment_seconds` long, whatever this worker's settings say.
    """

    parent: str
    source: str
    size: int
    modified: int
    plan: TranscodePlan
    segment_seconds: float
    chunk: Chunk | None

    @property
    def name(self) -> str:
        """What its key ends in."""
        return SOUND if self.chunk is None else str(self.chunk.number)


class EncodedChunk(Result):
    """What was made of a part: how many pictures each rendition has, in how many bytes in all, and of which names.

    `digests` are of the pictures of each rendition, which were decoded where they were made; workers of versions that
    made none leave them out.
    """

    pictures: int
    size: int
    files: tuple[str, ...]
    digests: tuple[str, ...] = ()
