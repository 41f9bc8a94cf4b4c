"""What RabbitMQ's errors mean for the caller: trouble that passes, or something a person must mend."""

from __future__ import annotations

import re
import ssl
from typing import Protocol, TypeGuard

from aio_pika.exceptions import (
    ChannelClosed,
    ChannelPreconditionFailed,
    InvalidFrameError,
    ProbableAuthenticationError,
)
from aiormq.exceptions import ChannelAccessRefused

from jobkit.backends.rabbitmq.address import Server
from jobkit.errors import ConfigurationError, JobkitError, Unavailable

# The server says where the limit is, and how many there may be.
_LIMIT_REACHED = re.compile(r"limit in .* is reached", re.DOTALL)


class Place(Protocol):
    """Where it happened."""

    @property
    def server(self) -> Server:
        """The server."""
        ...

    def unavailable(self, what: str, doing: str) -> Unavailable:
        """Return the error of trouble that passes."""
        ...


def refused(link: Place, error: ChannelClosed) -> JobkitError:
    """Return what a server's refusal means for the caller."""
    if _LIMIT_REACHED.search(str(error)):
        return ConfigurationError(
            f"{link.server.shown}: {error}; have the limit raised (`rabbitmqctl set_vhost_limits`, `max-queues`), or "
            "name a virtual host of jobkit's own: a job type has a queue for each partition, and some more"
        )
    if isinstance(error, ChannelPreconditionFailed):
        return ConfigurationError(
            f"{link.server.shown}: {error}; it exists in another way than jobkit makes it: drain it, delete it, and "
            "run `jobkit topology --apply`"
        )
    if isinstance(error, ChannelAccessRefused):
        return ConfigurationError(
            f"{link.server.shown}: {error}; give the user permission to configure, write and read what begins with "
            "'jobkit', and to write to the default exchange"
        )
    return link.unavailable(str(error), "declaring")


def not_connected(link: Place, error: BaseException) -> Unavailable | ConfigurationError:
    """Return what it means that no connection could be made."""
    if isinstance(error, ProbableAuthenticationError):
        user = link.server.url.user or "guest"
        return ConfigurationError(f"{link.server.shown} refuses the login of user {user!r}: {error}")
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConfigurationError(f"{link.server.shown}: its certificate is not trusted: {error.verify_message}")
    if isinstance(error, InvalidFrameError):
        # It closes the connection instead of opening the virtual host; the reason does not reach us.
        host = link.server.url.path.removeprefix("/") or "/"
        return link.unavailable(
            f"it does not open the virtual host {host!r}: see that it exists and that the user may use it",
            "connecting",
        )
    return link.unavailable(words_of(error), "connecting")


def is_refusal(error: BaseException | None) -> TypeGuard[ChannelClosed]:
    """Return whether the server closed a channel and said why; one that we closed ourselves has no reason."""
    return isinstance(error, ChannelClosed) and bool(error.args) and error.args[0] is not None


def words_of(error: BaseException) -> str:
    """Return an error's words."""
    if isinstance(error, ChannelClosed) and not is_refusal(error):
        return "the channel was closed"
    return str(error) or error.__class__.__name__
