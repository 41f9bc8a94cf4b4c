"""Settings of the webhook plugin: environment variables named `JOBKIT_WEBHOOK_…`."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from workers.webhook.signing import key_of

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class WebhookSettings(BaseSettings):
    """What the plugin is told by its environment. All durations are in seconds."""

    model_config = SettingsConfigDict(env_prefix="JOBKIT_WEBHOOK_", frozen=True, extra="ignore")

    secrets: dict[str, SecretStr] = Field(
        {},
        description='What signs events, as JSON: names, of which "default" is taken where an event names none, with a '
        "`whsec_…` each, or several with blanks between: each of them signs, so that one can follow another.",
    )
    allow_networks: Annotated[tuple[Network, ...], NoDecode] = Field(
        (),
        description="Networks that are reached although they are private, loopback or link-local ones, such as "
        "`10.1.0.0/16`, separated by commas. Without any, only public addresses are.",
    )
    allow_http: bool = Field(
        False, description="Whether events are sent over plain HTTP, too, where an address says so."
    )
    timeout: float = Field(20.0, gt=0, le=60, description="How long one request may take, with its answer.")

    @field_validator("allow_networks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("secrets")
    @classmethod
    def _checked(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, secret in value.items():
            parts = secret.get_secret_value().split()
            if not parts:
                raise ValueError(f"{name!r} is empty")
            for part in parts:
                try:
                    key_of(part)
                except ValueError as error:
                    raise ValueError(f"{name!r} {error}") from None
        return value
