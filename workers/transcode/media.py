"""What is known about a media file: the facts that the probing process reports, checked as they come in."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from workers.transcode.ladder import Size, shown_size


class _Facts(BaseModel):
    # A child that was taken over by a hostile file may say anything; it gets no further than this.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Track(_Facts):
    """A stream. `restarts` has, for each time that its clock went back, what is added to it from there on.

    It is `joined` where its clock jumps and ffmpeg follows by itself.
    """

    index: int = Field(ge=0)
    codec: str = Field(max_length=64)
    start: float | None
    last: float
    end: float
    longest_gap: float
    packets: int = Field(ge=0)
    keyframes: tuple[float, ...]
    restarts: tuple[float, ...]
    joined: bool = False
    decoded: int = Field(ge=0)

    @property
    def duration(self) -> float:
        """Seconds from the first to the end of the last picture or sample."""
        return max(0.0, self.end - (self.start or 0.0))


class Colour(NamedTuple):
    """How numbers become colours, in the code points of ISO/IEC 23091-2; `range` is 1 for limited, 2 for full."""

    matrix: int
    primaries: int
    transfer: int
    range: int


class VideoTrack(_Track):
    """A video stream. `width` and `height` are of the stored pictures; `rotation` is in degrees clockwise.

    `told` is what a player is told of its format (RFC 6381), where it is a file of ours.

    `pauses` are the times of pictures that are held for long, with how long; `highest_rate` is in pictures per second
    over a second; `shown_pictures` counts from the first keyframe on, and `cells` of equal length, where those were
    asked for, from where the file starts.
    """

    told: str | None = Field(max_length=64)
    width: int = Field(gt=0, le=1_000_000)
    height: int = Field(gt=0, le=1_000_000)
    pixel_aspect: tuple[int, int]
    rotation: int
    pixel_format: str = Field(max_length=64)
    interlaced: bool
    colour: Colour
    shown_pictures: int = Field(ge=0)
    pauses: tuple[tuple[float, float], ...]
    highest_rate: float = Field(ge=0)
    cells: tuple[int, ...] = ()

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
    """An audio stream. `language` is as its container has it."""

    profile: str | None = Field(max_length=64)
    language: str | None = Field(max_length=64)
    channels: int = Field(ge=0, le=1024)
    sample_rate: int = Field(ge=0)


class OtherSound(_Facts):
    """An audio stream that was not chosen; its times, `restarts` and `joined` are as those of the others."""

    index: int = Field(ge=0)
    language: str | None = Field(max_length=64)
    channels: int = Field(ge=0, le=1024)
    start: float | None
    end: float
    restarts: tuple[float, ...]
    joined: bool = False


class Text(_Facts):
    """A stream of subtitles that are text; `forced` ones are meant for everybody."""

    index: int = Field(ge=0)
    language: str | None = Field(max_length=64)
    default: bool
    forced: bool


class SoundFile(_Facts):
    """A file of one sound, and what is wrong with its package."""

    audio: AudioTrack
    package_problems: tuple[str, ...]


class Media(_Facts):
    """A media file: the video, and the audio, that a player would choose. Times are in seconds.

    `origin` is where its clock begins, `covered` which share of the file's bytes lies before the last of both streams.
    `declared` is how long its header says it lasts, `end` is where its last packet really ends, `media_end` where the
    last one of any pictures or sound does. `other_videos` counts the streams that were not chosen, as `other_sounds`
    and `texts` tell of those beside the video. `digest` is one of the pictures, where it was asked for.
    """

    container: str = Field(max_length=200)
    origin: float
    covered: float
    declared: float | None
    end: float
    media_end: float
    video: VideoTrack
    audio: AudioTrack | None
    other_videos: int = Field(ge=0)
    other_sounds: tuple[OtherSound, ...] = Field(max_length=64)
    texts: tuple[Text, ...] = Field(max_length=64)
    package_problems: tuple[str, ...]
    digest: str = Field("", max_length=64)

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
