"""Where a PostgreSQL database is: a URL as users write it, checked, and a name for it that may be shown.

It never lets a password out: not into a name, and not into the message of a URL that cannot be read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from jobkit.errors import ConfigurationError

_EXPECTED = "expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE; several hosts as HOST:PORT,HOST:PORT"
_PORT = 5432

# A name or address, and a port.
Host = tuple[str, int]


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """One database. `name` is for messages; `url` holds secrets; `hosts` are those that the URL names itself."""

    name: str
    url: str = field(repr=False)
    hosts: tuple[Host, ...] = ()

    @property
    def server_settings(self) -> dict[str, str]:
        """What a connection tells the server of itself, unless the URL does."""
        return {} if "application_name" in self._said else {"application_name": "jobkit"}

    def chosen_host(self, host: str, port: int) -> dict[str, Any]:
        """Return what has the driver connect to one host only, and to a primary unless the URL wants something else."""
        primary = {} if "target_session_attrs" in self._said else {"target_session_attrs": "read-write"}
        return {"host": host, "port": port, **primary}

    @property
    def _said(self) -> set[str]:
        return {name for name, _ in parse_qsl(urlsplit(self.url).query)}


def parse_address(url: str) -> PostgresAddress:
    """Return the database that `url` names; what it leaves out comes from libpq's environment variables.

    Raises `ConfigurationError`.
    """
    # Without causes: theirs quote the part of the URL that they stumbled over.
    try:
        parts = urlsplit(url)
        hosts = parts.netloc.rpartition("@")[2]
        named = tuple(_host(one) for one in hosts.split(",")) if hosts else ()
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
    return PostgresAddress(f"PostgreSQL at {where}/{database}", url, named)


def _host(text: str) -> Host:
    parts = urlsplit(f"//{text}")
    return unquote(parts.hostname or ""), _PORT if parts.port is None else parts.port
