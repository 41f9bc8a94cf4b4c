"""What is known about a media file: the facts that the probing process reports, checked as they come in."""

from __future__ import annotations

from fractions import Fraction

from pydantic import BaseModel, ConfigDict, Field

from workers.transcode.ladder import Size, shown_size


class _Facts(BaseModel):
    # A child that was taken over by a hostile file may say anything; it gets no further than this.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Track(_Facts):
    index: int = Field(ge=0)
    codec: str = Field(max_length=64)
    profile: str | None = Field(max_length=64)
    start: float | None
    last: float
    end: float
    longest_gap: float
    packets: int = Field(ge=0)
    keyframes: tuple[float, ...]
    sha256: str
    decoded: int = Field(ge=0)

    @property
    def duration(self) -> float:
        """Seconds from the first to the end of the last picture or sample."""
        return max(0.0, self.end - (self.start or 0.0))


class VideoTrack(_Track):
    """A video stream. `width` and `height` are of the stored pictures; `rotation` is in degrees clockwise."""

    width: int = Field(gt=0, le=1_000_000)
    height: int = Field(gt=0, le=1_000_000)
    pixel_aspect: tuple[int, int]
    rotation: int
    pixel_format: str = Field(max_length=64)
    interlaced: bool

    @property
    def shown(self) -> Size:
        """The size at which it is shown: upright, with square pixels."""
        numerator, denominator = self.pixel_aspect
        aspect = Fraction(numerator, denominator) if numerator > 0 and denominator > 0 else Fraction(1)
        return shown_size(self.width, self.height, aspect, self.rotation)

    @property
    def frame_rate(self) -> float:
        """Pictures per second, on average; counted, because headers lie."""
        return self.packets / self.duration if self.duration > 0 else 0.0


class AudioTrack(_Track):
    """An audio stream."""

    channels: int = Field(ge=0, le=1024)
    sample_rate: int = Field(ge=0)


class Media(_Facts):
    """A media file: the video, and the audio, that a player would choose. Times are in seconds.

    `declared` is how long its header says it lasts, `end` is where its last packet really ends.
    """

    container: str = Field(max_length=200)
    declared: float | None
    end: float
    video: VideoTrack
    audio: AudioTrack | None

    @property
    def start(self) -> float:
        """Where the earlier of both streams starts."""
        starts = [track.start for track in (self.video, self.audio) if track is not None and track.start is not None]
        return min(starts, default=0.0)

    @property
    def duration(self) -> float:
        """Seconds from the first to the end of the last picture or sample."""
        ends = [track.end for track in (self.video, self.audio) if track is not None]
        return max(0.0, max(ends) - self.start)
