"""What a transcode job takes and what it returns."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from jobkit import Payload, Result
from workers.transcode.content_key import Encryption
from workers.transcode.ladder import checked_ladder


class Transcode(Payload):
    """One video to make renditions of. Jobs of the same `video_id` run one after another.

    `source` is a path or a `file://` URL within the worker's source roots; a relative path is looked for in each
    root. `ladder` are the shorter sides of the renditions in pixels, None is the worker's own ladder. `poster_at`
    is where in the video the poster is taken, None is the best of several places; past the end it is the last frame.
    With `storyboard` a job of that type follows.
    `profile` names one of the worker's profiles, None is the one that its settings name. With `split` the video is
    encoded in chunks if it has more than one, or never; None is by its length, as the worker is set.
    `encryption` is that of the package, None is the profile's. `mp4` is whether the MP4 files are kept, None is unless
    the package is encrypted. With `early` a job of its own makes the lowest rendition first, where the video has no
    files; with `lowest` this is that job, which makes no other.
    """

    video_id: Annotated[str, Field(min_length=1, max_length=200)]
    source: Annotated[str, Field(min_length=1, max_length=4096)]
    ladder: tuple[int, ...] | None = None
    hls: bool = True
    poster_at: Annotated[timedelta, Field(ge=timedelta(0))] | None = None
    split: bool | None = None
    profile: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    storyboard: bool = False
    encryption: Encryption | None = None
    mp4: bool | None = None
    early: bool = False
    lowest: bool = False

    @field_validator("ladder")
    @classmethod
    def _usable(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        return None if value is None else checked_ladder(value)

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.encryption is not None and not self.hls:
            raise ValueError("encryption is of the package, which hls = false leaves out")
        if self.mp4 is False and not self.hls:
            raise ValueError("with neither the MP4 files nor a package nothing is made")
        if self.early and self.lowest:
            raise ValueError(
                "early has a job of its own make the lowest rendition, lowest is that job: give one of them"
            )
        return self


class SourceInfo(Result):
    """What the source was found to be. `width` and `height` are as it is shown: upright, with square pixels.

    `rotation` is by how many degrees clockwise players were told to turn it; `duration` is in seconds, `size` in bytes.
    """

    container: str
    size: int
    duration: float
    width: int
    height: int
    rotation: int
    frame_rate: float
    video_codec: str
    audio_codec: str | None
    audio_channels: int | None
    sample_rate: int | None


class Rendition(Result):
    """One rendition. `duration` is in seconds. `blob` is the name of its MP4 file among the job's blobs, `size` that
    file's in bytes; both are None where it is not kept.

    `codecs` is what goes into a MIME type (RFC 6381), `video_range` is SDR, or PQ or HLG where HDR was kept; `playlist`
    is the blob of its HLS media playlist, `encoder` the name of ffmpeg's that made it, `quality` what that was asked
    for, on its own scale. `vmaf` is the score of samples with that quality, where it was looked for.
    """

    name: str
    width: int
    height: int
    frame_rate: float
    video_codec: str
    video_range: str
    encoder: str
    audio_codec: str | None
    audio_channels: int | None
    codecs: str
    duration: float
    size: int | None
    blob: str | None
    playlist: str | None
    quality: int | None = None
    vmaf: float | None = None


class Sound(Result):
    """One sound of the package; `codecs` is what goes into a MIME type, `playlist` the blob of its media playlist."""

    codecs: str
    channels: int
    language: str | None
    playlist: str


class TranscodeResult(Result):
    """Everything that was made of a video: renditions, largest first. `duration` is in seconds, the source's own.

    `profile` is the name and version of the profile, as `web@3`. `warnings` are sentences about what a submitter may
    not expect: what was left out, mapped, folded or damaged. `sounds` are those of the package. `key_id` is what the
    key of an encrypted package was asked for by.
    """

    video_id: str
    profile: str
    duration: float
    source: SourceInfo
    renditions: tuple[Rendition, ...]
    hls_master: str | None
    dash_manifest: str | None
    poster: str
    warnings: tuple[str, ...]
    encryption: Encryption | None = None
    key_id: str | None = None
    sounds: tuple[Sound, ...] = ()
