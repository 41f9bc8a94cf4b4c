"""Where a Redis is: a URL as users write it, checked, and a name for it that may be shown.

It never lets a password out: not into a name, and not into the message of a URL that cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from jobkit.errors import ConfigurationError

SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel")

_EXPECTED = (
    "expected redis://USER:PASSWORD@HOST:PORT/DATABASE, rediss:// for TLS, or "
    "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DATABASE; write special characters of a password as %XX"
)
_REDIS_PORT, _SENTINEL_PORT = 6379, 26379
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")

# A name or address, and a port.
Host = tuple[str, int]


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """One database of one server, or of whichever server the sentinels call the primary of `service`."""

    name: str
    hosts: tuple[Host, ...]
    service: str
    database: int
    tls: Mapping[str, object] | None
    login: Mapping[str, str] = field(repr=False)
    sentinel_login: Mapping[str, str] = field(repr=False)


def parse_address(url: str) -> RedisAddress:
    """Return the database that `url` names. Raises `ConfigurationError`."""
    # Without causes: theirs quote the part of the URL that they stumbled over.
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        if parts.scheme not in SCHEMES or parts.fragment or not url.startswith(f"{parts.scheme}://"):
            raise ValueError
        login, _, hosts = parts.netloc.rpartition("@")
        sentinel = parts.scheme.endswith("+sentinel")
        port = _SENTINEL_PORT if sentinel else _REDIS_PORT
        addresses = tuple(_host(host, port) for host in hosts.split(","))
        service, database = _path(parts.path, sentinel)
        if "@" in login or (len(addresses) > 1 and not sentinel):
            raise ValueError
    except ValueError:
        raise ConfigurationError(f"this is no Redis URL: {_EXPECTED}") from None
    username, _, password = login.partition(":")
    where = ",".join(f"{host}:{port}" for host, port in addresses)
    return RedisAddress(
        name=f"Redis at {where}/{service}/{database}" if sentinel else f"Redis at {where}/{database}",
        hosts=addresses,
        service=service,
        database=database,
        tls=_tls(parts.scheme, query, (*_TLS_OPTIONS, *(_SENTINEL_OPTIONS if sentinel else ()))),
        login=_login(unquote(username), unquote(password)),
        sentinel_login=_login(query.get("sentinel_username", ""), query.get("sentinel_password", "")),
    )


def _host(text: str, port: int) -> Host:
    parts = urlsplit(f"//{text}")
    return parts.hostname or "localhost", port if parts.port is None else parts.port


def _path(path: str, sentinel: bool) -> tuple[str, int]:
    """Return the service, which only sentinels have, and the number of the database."""
    service, slash, database = path.removeprefix("/").partition("/") if sentinel else ("", "", path.removeprefix("/"))
    if (sentinel and not service) or (slash and not database):
        raise ValueError
    return unquote(service), int(database or 0)


def _login(username: str, password: str) -> dict[str, str]:
    return {name: value for name, value in (("username", username), ("password", password)) if value}


def _tls(scheme: str, query: Mapping[str, str], known: tuple[str, ...]) -> dict[str, object] | None:
    """Return what the URL asks of TLS, or None where it is not used."""
    encrypted = scheme.startswith("rediss")
    allowed = known if encrypted else tuple(name for name in known if name not in _TLS_OPTIONS)
    for name in query:
        if name not in allowed:
            takes = ", ".join(allowed) or "none"
            raise ConfigurationError(f"this Redis URL has an option {name!r}; {scheme}:// takes {takes}")
    options: dict[str, object] = {name: value for name, value in query.items() if name in _TLS_OPTIONS}
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = query["ssl_check_hostname"].lower() not in ("false", "no", "0")
    if options.get("ssl_cert_reqs", "required") not in ("required", "optional", "none"):
        raise ConfigurationError("ssl_cert_reqs in this Redis URL must be required, optional or none")
    return options if encrypted else None
