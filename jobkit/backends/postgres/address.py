"""Where a PostgreSQL database is: a URL as users write it, checked, and a name for it that may be shown.

It never lets a password out: not into a name, and not into the message of a URL that cannot be read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from jobkit.errors import ConfigurationError

_EXPECTED = "expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """One database. `name` is for messages; `url` holds secrets."""

    name: str
    url: str = field(repr=False)

    @property
    def server_settings(self) -> dict[str, str]:
        """What a connection tells the server of itself, unless the URL does."""
        said = {name for name, _ in parse_qsl(urlsplit(self.url).query)}
        return {} if "application_name" in said else {"application_name": "jobkit"}


def parse_address(url: str) -> PostgresAddress:
    """Return the database that `url` names; what it leaves out comes from libpq's environment variables.

    Raises `ConfigurationError`.
    """
    # Without causes: theirs quote the part of the URL that they stumbled over.
    try:
        parts = urlsplit(url)
        hosts = parts.netloc.rpartition("@")[2]
        if "," not in hosts:
            _ = parts.port
        parse_qsl(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        raise ConfigurationError(f"this is no PostgreSQL URL: {_EXPECTED}") from None
    if parts.scheme not in ("postgresql", "postgres") or parts.fragment or not url.startswith(f"{parts.scheme}://"):
        raise ConfigurationError(f"this is no PostgreSQL URL: {_EXPECTED}; write # as %23")
    if parts.netloc.count("@") > 1:
        raise ConfigurationError(
            f"the user or password of this PostgreSQL URL holds an '@': write it as %40; {_EXPECTED}"
        )
    query = dict(parse_qsl(parts.query))
    where = hosts or query.get("host") or "the default host"
    database = parts.path.removeprefix("/") or query.get("dbname") or query.get("database") or "the default database"
    return PostgresAddress(f"PostgreSQL at {where}/{database}", url)
