"""Profiles: what renditions a video is to get, as data; named, versioned, and checked before anything uses them.

A file of profiles is TOML or JSON: a table `profiles`, by name. What a profile leaves out is as the worker's settings
have it, and a profile that says nothing is what there is without one.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from workers.transcode.codecs import VideoCodec
from workers.transcode.content_key import Encryption
from workers.transcode.encoders import (
    DEFAULT_BITRATE_SHARE,
    DEFAULT_PRESET,
    DEFAULT_QUALITY,
    ENCODERS,
    QUALITIES_TO_TRY,
    WORST_QUALITY,
)
from workers.transcode.ladder import HIGHEST_RUNG, LOWEST_RUNG, checked_ladder
from workers.transcode.quality_search import Aim
from workers.transcode.settings import Preset, TranscodeSettings
from workers.transcode.sound_codecs import DEFAULT_CHANNEL_BITRATE, SoundCodec, SoundCoding

DEFAULT_PROFILE = "default"
# Renditions are made in one run, with all of their encoders in memory.
MOST_CODINGS = 5
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")

Side = Annotated[int, Field(ge=LOWEST_RUNG, le=HIGHEST_RUNG)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LadderStep(_Part):
    """One step of a ladder: the shorter side in pixels, and the ceilings of bits per second that it has.

    `max_bitrate_fast` is that of more than 40 pictures a second. Without, the plugin's own formula holds.
    """

    size: Side
    max_bitrate: Annotated[int, Field(ge=50_000, le=500_000_000)] | None = None
    max_bitrate_fast: Annotated[int, Field(ge=50_000, le=500_000_000)] | None = None

    def ceiling(self, *, fast: bool) -> int | None:
        """Return the most bits per second, None where nothing is said."""
        return self.max_bitrate_fast if fast and self.max_bitrate_fast is not None else self.max_bitrate


class VideoProfile(_Part):
    """One way of coding pictures; several make renditions side by side.

    `encoder` is `software`, `auto` (hardware that works here, else software) or the name of one of ffmpeg's. `quality`
    is on the encoder's own scale, lower is better. With `vmaf` it is only where the search for one begins that reaches
    this score, from `best_quality` to `worst_quality`. `bitrate_share` is of the ceilings of H.264. `smallest` and
    `largest` bound the steps of the ladder. `hdr` is `keep` for renditions that only HDR sources get.
    """

    codec: VideoCodec = VideoCodec.H264
    encoder: str = "software"
    preset: Preset | None = None
    quality: Annotated[int, Field(ge=0)] | None = None
    vmaf: Annotated[float, Field(ge=20, le=99)] | None = None
    best_quality: Annotated[int, Field(ge=0)] | None = None
    worst_quality: Annotated[int, Field(ge=0)] | None = None
    bitrate_share: Annotated[float, Field(ge=0.05, le=4)] | None = None
    smallest: Side = LOWEST_RUNG
    largest: Side = HIGHEST_RUNG
    hdr: Literal["map", "keep"] = "map"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        known = ENCODERS.get(self.encoder)
        if self.encoder not in ("software", "auto") and (known is None or known.codec is not self.codec):
            fitting = ", ".join(name for name, each in ENCODERS.items() if each.codec is self.codec)
            raise ValueError(f"no encoder {self.encoder!r} for {self.codec}: write software, auto, or one of {fitting}")
        if self.hdr == "keep" and self.codec is VideoCodec.H264:
            raise ValueError("H.264 cannot keep HDR: players take it as 8 bits; use hevc, av1 or vp9")
        for name in ("quality", "best_quality", "worst_quality"):
            level = getattr(self, name)
            if level is not None and level > WORST_QUALITY[self.codec]:
                raise ValueError(f"{name} {level}: that of {self.codec} ends at {WORST_QUALITY[self.codec]}")
        self._check_aim()
        if self.smallest > self.largest:
            raise ValueError(f"smallest ({self.smallest}) is larger than largest ({self.largest})")
        return self

    def _check_aim(self) -> None:
        aim = self.aim
        if aim is None:
            if self.best_quality is not None or self.worst_quality is not None:
                raise ValueError("best_quality and worst_quality bound the search for a vmaf score: give one, or none")
            return
        if self.hdr == "keep":
            raise ValueError("vmaf is a measure of SDR: leave it out where HDR is kept")
        if aim.best > aim.worst:
            raise ValueError(f"best_quality ({aim.best}) is above worst_quality ({aim.worst}): lower is better")

    @property
    def aim(self) -> Aim | None:
        """The score to reach, and by which qualities; None where the quality is fixed."""
        if self.vmaf is None:
            return None
        best, worst = QUALITIES_TO_TRY[self.codec]
        return Aim(
            self.vmaf,
            best if self.best_quality is None else self.best_quality,
            worst if self.worst_quality is None else self.worst_quality,
        )

    def preset_over(self, settings: TranscodeSettings) -> str:
        """Return the preset; that of the settings is x264's."""
        return self.preset or (settings.preset if self.codec is VideoCodec.H264 else DEFAULT_PRESET)

    def quality_over(self, settings: TranscodeSettings) -> int:
        """Return the quality; that of the settings is x264's."""
        if self.quality is not None:
            return self.quality
        return settings.crf if self.codec is VideoCodec.H264 else DEFAULT_QUALITY[self.codec]

    @property
    def share(self) -> float:
        """The share of the bits that H.264 may take at most."""
        return DEFAULT_BITRATE_SHARE[self.codec] if self.bitrate_share is None else self.bitrate_share


class AudioProfile(_Part):
    """One way of coding sound. `channel_bitrate` is in bits per second, for each channel."""

    codec: SoundCodec = SoundCodec.AAC
    channel_bitrate: Annotated[int, Field(ge=8_000, le=256_000)] | None = None

    @property
    def coding(self) -> SoundCoding:
        """The format and its bits per second."""
        return SoundCoding(self.codec, self.channel_bitrate or DEFAULT_CHANNEL_BITRATE[self.codec])


class Profile(_Part):
    """What renditions a video gets. The first ways of coding pictures and sound are for everybody.

    Posters are taken of such pictures, and MP4 files have such sound; other sound is in the package only.
    """

    version: Annotated[int, Field(ge=1)] = 1
    description: Annotated[str, Field(max_length=1000)] = ""
    ladder: tuple[LadderStep | int, ...] | None = None
    video: Annotated[tuple[VideoProfile, ...], Field(min_length=1, max_length=MOST_CODINGS)] = (VideoProfile(),)
    audio: Annotated[tuple[AudioProfile, ...], Field(min_length=1, max_length=len(SoundCodec))] = (AudioProfile(),)
    segment_seconds: Annotated[float, Field(ge=1, le=30)] | None = None
    max_frame_rate: Annotated[float, Field(ge=1, le=240)] | None = None
    keep_size: bool | None = None
    deinterlace: Literal["frame", "field"] | None = None
    hdr: Literal["map", "keep", "refuse"] | None = None
    loudness: Annotated[float, Field(ge=-40, le=-5)] | None = None
    encryption: Encryption | None = None

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.ladder is not None:
            checked_ladder(self._sizes())
        if self.video[0].hdr == "keep":
            raise ValueError("the first way of coding is for everybody, and so cannot keep HDR")
        sounds = [each.codec for each in self.audio]
        if sounds[0] is not SoundCodec.AAC or len(set(sounds)) < len(sounds):
            raise ValueError("the first way of coding sound is for everybody, so it is aac; each may be there once")
        ways = [(each.codec, each.hdr) for each in self.video]
        if len(set(ways)) < len(ways):
            raise ValueError("each codec may be there once, and once more to keep HDR")
        if self.hdr == "keep" and any(each.hdr == "keep" for each in self.video):
            raise ValueError("hdr = keep passes HDR on in every rendition: leave it out where one of them keeps it")
        return self

    def _sizes(self) -> list[int]:
        return [step.size if isinstance(step, LadderStep) else step for step in self.ladder or ()]

    def over(self, settings: TranscodeSettings) -> TranscodeSettings:
        """Return the settings as this profile has them."""
        changes: dict[str, Any] = {}
        for name in ("segment_seconds", "max_frame_rate", "keep_size", "deinterlace", "hdr", "loudness", "encryption"):
            value = getattr(self, name)
            if value is not None:
                changes[name] = value
        if self.ladder is not None:
            changes["ladder"] = checked_ladder(self._sizes())
        return settings.model_copy(update=changes)

    @property
    def steps(self) -> tuple[LadderStep, ...]:
        """The steps of the ladder that say more than their size."""
        return tuple(step for step in self.ladder or () if isinstance(step, LadderStep))


_FILE = TypeAdapter(dict[Literal["profiles"], dict[str, Profile]])


def read_profiles(path: Path) -> Mapping[str, Profile]:
    """Return the profiles of a file by name. Raises `ValueError` saying what is wrong, and where, or `OSError`."""
    text = path.read_text(encoding="utf-8")
    try:
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    try:
        found = _FILE.validate_python(content)
    except ValidationError as error:
        places = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise ValueError(f"{path.name}: {'; '.join(places)}") from error
    profiles = found.get("profiles", {})
    for name in profiles:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{path.name}: {name!r} is no name of a profile: use lower-case letters, digits and '._-'")
    return profiles


def known_profiles(settings: TranscodeSettings) -> Mapping[str, Profile]:
    """Return all profiles that jobs may name. Raises as `read_profiles`."""
    read = {} if settings.profiles is None else read_profiles(settings.profiles)
    return {DEFAULT_PROFILE: Profile(), **read}
