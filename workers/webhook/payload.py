"""What a delivery is given, and what it says when it was taken."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, JsonValue

from jobkit import Payload, Result

# The secret that signs where a delivery names none.
DEFAULT_SECRET = "default"  # noqa: S105  (a name)


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http or https address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must be without a user and a password: everybody who sees the job would see them")
    if parts.fragment:
        raise ValueError("must be without a fragment")
    # Raises where it is no number.
    _ = parts.port
    return url


Url = Annotated[str, Field(max_length=2_000), AfterValidator(_checked)]


class Webhook(Payload):
    """One event for one address. `subject` is what it is about: events of a subject are sent one after another.

    `secret` is the name of the secret that signs it, of those in the worker's settings.
    """

    url: Url
    event: Annotated[str, Field(min_length=1, max_length=200)]
    data: JsonValue
    subject: Annotated[str, Field(min_length=1, max_length=128)]
    secret: str = DEFAULT_SECRET

    @property
    def host(self) -> str:
        """The host that the event goes to."""
        return urlsplit(self.url).hostname or ""


class Delivered(Result):
    """The answer of the receiver: its status, and how many seconds it took."""

    status: int
    seconds: float
