"""Every setting of jobkit itself: environment variables named `JOBKIT_…`, validated together at the start.

The settings reference in docs/ is generated from this model, so the descriptions here are its text.
"""

from __future__ import annotations

import difflib
import io
import os
from pathlib import Path
from typing import Annotated, Any

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from jobkit.errors import ConfigurationError
from jobkit.model.concurrency import Concurrency

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """What a jobkit process is told by its environment. All durations are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="JOBKIT_",
        frozen=True,
        extra="ignore",
        # Else the cause of a ConfigurationError would show the URLs with their passwords.
        hide_input_in_errors=True,
    )

    broker_url: SecretStr = Field(
        SecretStr("sqlite:///jobkit.db"),
        description="Where messages wait. `sqlite:///relative.db` or `sqlite:////absolute.db` (one machine), "
        "`amqp://user:password@host/vhost` or `amqps://` (RabbitMQ).",
    )
    coordinator_url: SecretStr = Field(
        SecretStr("sqlite:///jobkit.db"),
        description="Where leases are kept. `sqlite:` as for the broker, `redis://user:password@host:6379/0`, "
        "`rediss://` (TLS), or `redis+sentinel://host1:26379,host2:26379/name/0`.",
    )
    store_url: SecretStr = Field(
        SecretStr("sqlite:///jobkit.db"),
        description="Where the truth is kept. `sqlite:` as for the broker, "
        "`postgresql://user:password@host:5432/database`, or `redis:` as for the coordinator.",
    )
    blobs_url: SecretStr = Field(
        SecretStr("file:jobkit-blobs"),
        description="Where files go. `file:relative/dir`, `file:///absolute/dir` or `s3://bucket/prefix`.",
    )
    plugins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Modules whose processors are loaded besides the installed ones, separated by commas: "
        "`package.module` for all of a module's, `package.module:name` for one.",
    )
    middleware: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Modules whose middleware and hooks run around the jobs of this process, separated by commas, "
        "outermost first: `package.module` for all of a module's, `package.module:name` for one.",
    )
    concurrency: Annotated[Concurrency, NoDecode] = Field(
        Concurrency(8),
        description="How many jobs one worker process runs side by side; then, for types of which fewer may run, "
        "`TYPE=NUMBER`: `8,transcode=1`.",
    )
    partitions: int = Field(
        8,
        ge=1,
        le=1024,
        description="Into how many queues a job type is split when it is first used. After that the store knows, and "
        "`jobkit topology --partitions` changes it.",
    )
    prefetch: int = Field(
        200,
        ge=1,
        le=100_000,
        description="How many messages a worker takes from one partition before they are acked; bounds its memory.",
    )
    lease_ttl: Seconds = Field(
        15.0,
        ge=1,
        le=3600,
        description="How long a lease lives unless it is renewed, which happens every third of it. "
        "A dead worker's jobs are taken over after this time.",
    )
    lease_guard: Seconds = Field(
        1.0, description="How long before its lease could expire a worker stops the work under it."
    )
    clock_drift: float = Field(
        0.01, ge=0, lt=0.5, description="By what share the clocks of two machines may run at different speeds."
    )
    claim_wait: Seconds = Field(
        60.0,
        description="How long a job waits for a lease that somebody else holds before the wait counts as a timeout "
        "(it is reported, and starts again).",
    )
    delivery_hold: Seconds = Field(
        600.0, description="How long a job may hold its delivery; a longer one is moved to the in-flight table."
    )
    gap_hold: Seconds = Field(
        30.0, description="How long a job waits in memory for a missing sequence before its key is parked."
    )
    gap_limit: int = Field(
        100, ge=1, le=100_000, description="How many jobs of one key wait in memory for a missing sequence."
    )
    unknown_hold: Seconds = Field(
        600.0,
        description="How long a job that no live worker knows how to read, such as one of a later version, is held "
        "before it is dead-lettered.",
    )
    max_opens: int = Field(
        20,
        ge=2,
        le=1_000,
        description="After how many starts whose worker was never heard of again a job is dead-lettered as poison. "
        "Before the last three of them it runs alone in its worker, so that its neighbours are not suspected.",
    )
    max_payload_bytes: int = Field(262_144, ge=1, le=8_388_608, description="How large a payload may be, as JSON.")
    retention_seconds: Seconds = Field(
        7 * 86_400.0, description="How long the id of a committed job is remembered, so that it is not done again."
    )
    retention_limit: int = Field(
        1_000_000,
        ge=1,
        le=10**12,
        description="How many ids of committed jobs are remembered at most; the oldest go first.",
    )
    drain_seconds: Seconds = Field(
        30.0, description="How long a worker that is told to stop lets its jobs finish before it cancels them."
    )
    relay_grace: Seconds = Field(
        2.0, description="How long an outbox entry is left to the process that made it before a worker publishes it."
    )
    republish_seconds: Seconds = Field(
        60.0,
        ge=1,
        description="How often whoever leads a partition looks for jobs whose messages the broker lost, and publishes "
        "them again.",
    )
    files_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="What links to files are signed with, at least 16 characters; every server that gives out the same "
        "files needs the same. Without it each process makes one of its own, and its links end with it.",
    )
    health_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="On which port a worker or exporter answers `/live`, `/ready` and `/metrics`; 0 chooses one.",
    )
    health_host: str = Field("127.0.0.1", description="On which address it answers them.")
    web_host: str = Field("127.0.0.1", description="On which address `jobkit web` shows the dashboard.")
    web_port: int = Field(8090, ge=0, le=65_535, description="On which port it does; 0 chooses one.")
    web_token: SecretStr | None = Field(
        None,
        min_length=16,
        description="With what operators sign in to the dashboard, at least 16 characters. Without it, and without "
        "`JOBKIT_WEB_USER_HEADER`, it answers on a loopback address only, and whoever is there may do everything.",
    )
    web_viewer_token: SecretStr | None = Field(
        None, min_length=16, description="With what people sign in who may look, and change nothing."
    )
    web_user_header: str | None = Field(
        None, description="In which header a proxy before the dashboard says who the user is: `X-Forwarded-User`."
    )
    web_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        ("127.0.0.1", "::1"),
        description="From which addresses that header is believed, separated by commas; from no others.",
    )
    web_operators: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Which users that a proxy names are operators, separated by commas, `*` for all; others may look.",
    )
    web_read_only: bool = Field(False, description="Have the dashboard change nothing, whoever asks.")
    web_trace_url: str | None = Field(
        None,
        description="Where a job's trace is to be seen, with `{trace_id}` in its place: the dashboard links to it. "
        "`https://grafana.example/explore?traceId={trace_id}`.",
    )
    drill_report: Path | None = Field(
        None, description="In which file `jobkit drill` keeps its report as a page, and the dashboard finds it."
    )
    event_loop: str = Field(
        "uvloop",
        description="What a worker runs on: `uvloop`, or `asyncio`, which takes about a sixth more processor time with "
        "short jobs. Where uvloop is not installed it is `asyncio` anyway.",
    )
    log_level: str = Field("info", description="debug, info, warning or error.")
    log_format: str = Field(
        "auto",
        description="`text` for people, `json` for machines, `auto`: text on a terminal. "
        "`logging` leaves it to the standard library: events go to the logger `jobkit`, and its handlers are yours.",
    )

    @field_validator("plugins", "middleware", "web_proxies", "web_operators", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("concurrency", mode="before")
    @classmethod
    def _concurrency(cls, value: Any) -> Any:
        return Concurrency.parse(str(value)) if isinstance(value, str | int) else value

    @field_validator("web_trace_url")
    @classmethod
    def _known_trace_url(cls, value: str | None) -> str | None:
        if value is not None and not (value.startswith(("https://", "http://")) and "{trace_id}" in value):
            raise ValueError("use an address that begins with https:// or http:// and has {trace_id} in it")
        return value

    @field_validator("event_loop")
    @classmethod
    def _known_loop(cls, value: str) -> str:
        if value not in {"uvloop", "asyncio"}:
            raise ValueError("use uvloop or asyncio")
        return value

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.lower() not in {"debug", "info", "warning", "error"}:
            raise ValueError("use debug, info, warning or error")
        return value.lower()

    @field_validator("log_format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        if value not in {"auto", "text", "json", "logging"}:
            raise ValueError("use auto, text, json or logging")
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Settings:
        usable = self.lease_ttl * (1 - self.clock_drift) - self.lease_guard
        if usable < self.lease_ttl / 2:
            raise ValueError(
                f"JOBKIT_LEASE_TTL={self.lease_ttl:g} leaves only {usable:.2f} s of trust after "
                f"JOBKIT_LEASE_GUARD={self.lease_guard:g} and JOBKIT_CLOCK_DRIFT={self.clock_drift:g}; "
                "at least half of it is needed to renew in time: raise the first or lower the others"
            )
        if self.delivery_hold >= 1800:
            raise ValueError("JOBKIT_DELIVERY_HOLD must be below 1800: brokers take a delivery back after 30 minutes")
        return self

    @property
    def renew_every(self) -> float:
        """Seconds between two renewals of a worker's leases."""
        return self.lease_ttl / 3


def load_settings(env_files: tuple[Path, ...] = ()) -> Settings:
    """Read `env_files` into the environment, where later files win and the environment itself wins over all; validate.

    Raises `ConfigurationError` with a line for each variable that is wrong.
    """
    merged: dict[str, str] = {}
    for path in env_files:
        merged.update(_read_env_file(path))
    for name, value in merged.items():
        os.environ.setdefault(name, value)
    try:
        settings = Settings()
    except ValidationError as error:
        raise ConfigurationError(settings_problems(error, "JOBKIT_")) from error
    _refuse_unknown(settings)
    return settings


def _read_env_file(path: Path) -> dict[str, str]:
    """Return the variables of a file. Raises `ConfigurationError` for one that cannot be read, or a line of it."""
    if path.is_dir():
        raise ConfigurationError(f"--env-file {path}: this is a directory")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigurationError(f"--env-file {path}: no such file") from error
    except OSError as error:
        raise ConfigurationError(f"--env-file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"--env-file {path}, line {line}: this is not UTF-8 text") from error
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            # The line itself may hold a secret, and is not shown. Blank lines before it are counted as a part of it.
            blank = len(binding.original.string) - len(binding.original.string.lstrip("\n"))
            raise ConfigurationError(f"--env-file {path}, line {binding.original.line + blank}: write NAME=VALUE")
    return {name: value for name, value in dotenv_values(stream=io.StringIO(text)).items() if value is not None}


def settings_problems(error: ValidationError, prefix: str) -> str:
    """Return a settings error as one line per variable, without any value that could be a secret."""
    lines = []
    for item in error.errors(include_input=False, include_url=False):
        name = f"{prefix}{str(item['loc'][0]).upper()}: " if item["loc"] else ""
        lines.append(name + item["msg"].removeprefix("Value error, "))
    return "\n".join(lines)


def _refuse_unknown(settings: Settings) -> None:
    """Catch the misspelt variable that would otherwise be ignored in silence."""
    known = {f"JOBKIT_{name.upper()}" for name in type(settings).model_fields}
    for name in os.environ:
        close = name.startswith("JOBKIT_") and name.count("_") <= 3 and name not in known
        if close and _looks_like(name, known):
            raise ConfigurationError(f"{name} is not a setting; did you mean {_looks_like(name, known)}?")


def _looks_like(name: str, known: set[str]) -> str | None:
    matches = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.85)
    return matches[0] if matches else None
