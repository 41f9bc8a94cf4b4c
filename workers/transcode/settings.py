"""Settings of the transcode plugin: environment variables named `JOBKIT_TRANSCODE_…`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from workers.transcode.ladder import DEFAULT_LADDER, checked_ladder

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"]

# The processor's own timeout lies above the largest value that TIMEOUT takes, so that the setting decides.
LONGEST_TIMEOUT_SECONDS = 86_400


class TranscodeSettings(BaseSettings):
    """What the plugin is told by its environment. All durations are in seconds."""

    model_config = SettingsConfigDict(env_prefix="JOBKIT_TRANSCODE_", frozen=True, extra="ignore")

    # Payloads come from outside. A default such as the current directory would let anyone who can submit a job
    # have any file below it read; whoever runs the worker has to say which directories are meant for that.
    source_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (),
        description="Directories that sources may lie in, separated by commas or by the system's path separator. "
        "Without any, every job is refused.",
    )
    ffmpeg: str | None = Field(
        None,
        description="The ffmpeg to use, a path or a name on the PATH. "
        "Without it: `ffmpeg` on the PATH, else the one in the imageio-ffmpeg package.",
    )
    ladder: Annotated[tuple[int, ...], NoDecode] = Field(
        DEFAULT_LADDER,
        description="Shorter sides of the renditions in pixels, separated by commas; a job may bring its own.",
    )
    preset: Preset = Field("medium", description="How much time x264 spends for a smaller file.")
    crf: int = Field(23, ge=0, le=51, description="Quality of the picture; lower is better, 18 to 28 is usual.")
    profiles: Path | None = Field(
        None, description="A TOML or JSON file of profiles, which jobs may name. Without it there is only `default`."
    )
    profile: str = Field("default", description="The profile of jobs that name none.")
    device_jobs: int = Field(
        2, ge=1, le=64, description="How many jobs of a worker may encode on one kind of hardware at the same time."
    )
    segment_seconds: Seconds = Field(
        4.0, ge=1, le=30, description="How long an HLS segment is, and a group of pictures."
    )
    max_frame_rate: float = Field(60.0, ge=1, le=240, description="Faster sources lose frames down to this rate.")
    keep_size: bool = Field(
        True, description="Whether a source between two rungs gets a rendition at its own size as well."
    )
    deinterlace: Literal["frame", "field"] = Field(
        "frame", description="What becomes of interlaced video: `frame` makes 25 pictures of 50 fields, `field` 50."
    )
    hdr: Literal["map", "keep", "refuse"] = Field(
        "map", description="What becomes of HDR: mapped to BT.709, kept as it is (pale, with a warning), or refused."
    )
    loudness: float | None = Field(
        None,
        ge=-40,
        le=-5,
        description="Loudness that sound is brought to (EBU R128), in LUFS; it is left as it is without.",
    )
    max_duration: Seconds = Field(6 * 3600.0, description="How long a source may last; a longer one is rejected.")
    max_pixels: int = Field(
        36_000_000, ge=4, description="How many pixels a picture of the source may have; a larger one is rejected."
    )
    threads: int = Field(2, ge=1, le=64, description="How many threads each decoder, filter and encoder may use.")
    memory_mb: int = Field(
        6144, ge=256, description="How much address space a media process may take, in MiB; more ends the attempt."
    )
    max_output_mb: int = Field(65_536, ge=1, description="How large a single output file may become, in MiB.")
    nice: int = Field(
        10, ge=0, le=19, description="By how much media processes give way to others, the worker included."
    )
    timeout: Seconds = Field(
        6 * 3600.0, le=LONGEST_TIMEOUT_SECONDS, description="How long one media process may take before it is ended."
    )
    stall_timeout: Seconds = Field(
        60.0, description="How long a media process may show no progress before it is ended."
    )
    kill_grace: Seconds = Field(
        3.0, le=30, description="How long a media process that is told to end may take before it is killed."
    )

    @field_validator("source_roots", mode="before")
    @classmethod
    def _split_roots(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in re.split(f"[,{re.escape(os.pathsep)}]", value) if part.strip())

    @field_validator("ladder", mode="before")
    @classmethod
    def _split_ladder(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("ladder")
    @classmethod
    def _usable(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return checked_ladder(value)
