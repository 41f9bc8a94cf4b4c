"""Where a RabbitMQ is: a URL as users write it, checked, and a name for it that may be shown.

It names one node or several of a cluster; a name of the network may stand for several, too. No password gets out: not
into a name, and not into the message of a URL that cannot be read.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from yarl import URL

from jobkit.errors import ConfigurationError
from jobkit.model.side_by_side import outcomes

# A peer that fell silent is noticed by the server within twice this time. RabbitMQ's guide calls less than 5 too eager.
_HEARTBEAT_SECONDS = 5
_MAX_HEARTBEAT_SECONDS = 60
_FRAME_READER = "frame_reader"
_PORTS = {"amqp": 5672, "amqps": 5671}
_EXPECTED = "write amqp://user:password@host:port/vhost, or amqps:// for TLS; several hosts as host:port,host:port"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of one node. `shown` is for messages; `host` is what its certificate has to name."""

    host: str
    address: str
    port: int

    @property
    def shown(self) -> str:
        """The endpoint as people write it."""
        name = f"{self.host} ({self.address})" if self.address != self.host else _bracketed(self.host)
        return f"{name}:{self.port}"


@dataclass(frozen=True, slots=True)
class Server:
    """Where the server is. `shown` is for messages and holds no secret; `heartbeat` is in seconds.

    `url` is that of the first of `nodes`. Without `frame_reader` aiormq reads everything that comes by itself.
    """

    url: URL
    shown: str
    heartbeat: int
    nodes: tuple[tuple[str, int], ...]
    frame_reader: bool = True

    @classmethod
    def parse(cls, url: str) -> Server:
        """Return the server that a URL names. Raises `ConfigurationError`, which does not repeat the URL."""
        try:
            urls = [URL(one) for one in _one_by_one(url)]
            ports = [one.port for one in urls]
        except ValueError:
            # Its message may quote the part that is wrong, and that may be the password.
            raise ConfigurationError(
                f"this is not a usable URL; {_EXPECTED}, with characters that have a meaning in URLs (such as "
                "/ # ? @ %) percent-encoded"
            ) from None
        first = urls[0]
        if first.scheme not in _PORTS or not all(one.host for one in urls):
            raise ConfigurationError(_EXPECTED)
        given = first.query.get("heartbeat", str(_HEARTBEAT_SECONDS))
        if not given.isdecimal() or not 1 <= int(given) <= _MAX_HEARTBEAT_SECONDS:
            raise ConfigurationError(
                f"heartbeat={given}: use whole seconds from 1 to {_MAX_HEARTBEAT_SECONDS}; without heartbeats a "
                "partition would wait for ever for a worker that fell silent"
            )
        reader = first.query.get(_FRAME_READER, "on")
        if reader not in ("on", "off"):
            raise ConfigurationError(f"{_FRAME_READER}={reader}: use on or off")
        nodes = tuple((one.host or "", port or _PORTS[first.scheme]) for one, port in zip(urls, ports, strict=True))
        query = first.without_query_params(_FRAME_READER).update_query(heartbeat=given)
        return cls(query, _shown(first, nodes), int(given), nodes, frame_reader=reader == "on")

    def each(self) -> Sequence[Server]:
        """Return the nodes as servers of their own."""
        return [replace(self, shown=_shown(self.url, (node,)), nodes=(node,)) for node in self.nodes]

    async def endpoints(self) -> Sequence[Endpoint]:
        """Look up where the nodes are. Raises `OSError` where no name is known."""
        found: dict[Endpoint, None] = {}
        unknown: OSError | None = None
        loop = asyncio.get_running_loop()
        looked_up = await outcomes(
            partial(loop.getaddrinfo, host, port, type=socket.SOCK_STREAM) for host, port in self.nodes
        )
        for (host, port), infos in zip(self.nodes, looked_up, strict=True):
            if isinstance(infos, OSError):
                unknown = infos
            elif isinstance(infos, Exception):
                raise infos
            else:
                found.update({Endpoint(host, str(info[4][0]), port): None for info in infos})
        if not found and unknown is not None:
            raise unknown
        return list(found)


def _one_by_one(url: str) -> Sequence[str]:
    """Return a URL for each host of `url`, all else being the same."""
    scheme, separator, rest = url.partition("://")
    end = min((place for mark in "/?#" if (place := rest.find(mark)) >= 0), default=len(rest))
    login, at, hosts = rest[:end].rpartition("@")
    return [f"{scheme}{separator}{login}{at}{host}{rest[end:]}" for host in hosts.split(",")]


def _shown(url: URL, nodes: Sequence[tuple[str, int]]) -> str:
    where = ",".join(f"{_bracketed(host)}:{port}" for host, port in nodes)
    return f"{url.scheme}://{where}{url.raw_path if url.raw_path != '/' else ''}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
