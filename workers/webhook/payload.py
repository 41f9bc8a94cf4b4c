"""What a delivery is given, and what it says when it was taken."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, JsonValue

from jobkit import JobEnd, Payload, Result

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

    It tells of `data`, or else of what became of a job: `ended`, which is then its subject unless it has one. `secret`
    is the name of the secret that signs it, of those in the worker's settings.
    """

    url: Url
    event: Annotated[str, Field(min_length=1, max_length=200)]
    data: JsonValue = None
    subject: Annotated[str, Field(max_length=128)] = ""
    secret: str = DEFAULT_SECRET
    ended: JobEnd | None = None

    @property
    def about(self) -> str:
        """What the event is about: a job's id, say, or else where it goes."""
        return self.subject or (self.url if self.ended is None else self.ended.job)

    @property
    def told(self) -> JsonValue:
        """The data of the event."""
        if self.ended is None:
            return self.data
        ended: dict[str, JsonValue] = self.ended.model_dump(mode="json")
        return ended if self.data is None else {**ended, "data": self.data}

    @property
    def host(self) -> str:
        """The host that the event goes to."""
        return urlsplit(self.url).hostname or ""


class Delivered(Result):
    """The answer of the receiver: its status, and how many seconds it took."""

    status: int
    seconds: float
