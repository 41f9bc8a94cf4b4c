"""The servers that an env file names, started on this machine on just the ports that the file says.

They are for trying things out, and for nothing that matters: their passwords are in the file, and their data is gone
when they end. Only URLs of the loopback address can be served. A URL that names no server (`file:`, `sqlite:`) is left
alone. What is started is of the process that starts it, and ends with it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import anyio
import psutil
from dotenv import dotenv_values

from jobkit.errors import ConfigurationError, JobkitError
from jobkit.lab.servers.postgres import PostgresServer
from jobkit.lab.servers.rabbitmq import RabbitServer
from jobkit.lab.servers.redis import DURABLE, RedisServer
from jobkit.lab.servers.s3 import S3Server

_VARIABLES = {
    "broker": "JOBKIT_BROKER_URL",
    "coordinator": "JOBKIT_COORDINATOR_URL",
    "store": "JOBKIT_STORE_URL",
    "blobs": "JOBKIT_BLOBS_URL",
}
_NO_SERVER = ("file", "sqlite")


class PortTaken(JobkitError):
    """Something else listens where a server is wanted."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One server to start: the URL that it shall answer at, and the planes that it shall serve."""

    url: str
    planes: tuple[str, ...]

    @property
    def scheme(self) -> str:
        """What kind of server it is."""
        return urlsplit(self.url).scheme

    @property
    def port(self) -> int:
        """Where on the loopback address it shall listen."""
        address = urlsplit(_address(self.url))
        if address.hostname != "127.0.0.1" or address.port is None:
            variable = _VARIABLES[self.planes[0]]
            raise ConfigurationError(f"{variable}: to have a server started, name 127.0.0.1 and a port")
        return address.port


@dataclass(frozen=True, slots=True)
class Running:
    """One server that was started."""

    name: str
    wanted: Wanted
    is_running: Callable[[], bool]


def wanted_servers(env_file: Path) -> list[Wanted]:
    """Return what servers the URLs in `env_file` need; planes with the same URL share one.

    Raises `ConfigurationError` where no server can be started for a URL.
    """
    if not env_file.is_file():
        raise ConfigurationError(f"--env-file {env_file}: no such file")
    values = dotenv_values(env_file)
    planes: dict[str, list[str]] = {}
    for plane, variable in _VARIABLES.items():
        url = values.get(variable)
        if url is None or urlsplit(url).scheme in _NO_SERVER:
            continue
        if urlsplit(url).scheme not in _STARTERS:
            startable = ", ".join(f"{name}:" for name in _STARTERS)
            raise ConfigurationError(f"{variable}: a server can be started for {startable} only")
        planes.setdefault(url, []).append(plane)
    wanted = [Wanted(url, tuple(served)) for url, served in planes.items()]
    if not wanted:
        raise ConfigurationError(f"{env_file} names no server: there is nothing to start")
    ports = [server.port for server in wanted]
    if len(set(ports)) < len(ports):
        raise ConfigurationError(f"{env_file}: two different URLs have the same port")
    return wanted


def _address(url: str) -> str:
    """Return the part of a URL that says where its server is; an S3 URL names a bucket in its place."""
    parts = urlsplit(url)
    return dict(parse_qsl(parts.query)).get("endpoint_url", "") if parts.scheme == "s3" else url


def require_free(wanted: list[Wanted]) -> None:
    """Raise `PortTaken`, naming all that is in the way and what it is, unless every port can be listened on."""
    taken = [f"port {server.port} is taken by {who_listens(server.port)}" for server in wanted if _taken(server.port)]
    if taken:
        raise PortTaken(
            "; ".join(taken) + "\nEnd that; or copy the env file, change the ports in it, and name the copy instead"
        )


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: what is left of a connection that has ended is in nobody's way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def who_listens(port: int) -> str:
    """Return the name and id of the process that uses a port, as far as this user may know it."""
    unknown = "a process of another user"
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return unknown
    for connection in connections:
        if connection.laddr and connection.laddr.port == port and connection.pid is not None:
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.NoSuchProcess:
                return "a process that is just ending"
    return unknown


@contextmanager
def running_servers(
    wanted: list[Wanted], directory: Path, announce: Callable[[str], None] = lambda _: None
) -> Iterator[list[Running]]:
    """Run servers during the block, with their files below `directory`. Raises `PortTaken` or `ServerMissing`."""
    require_free(wanted)
    with ExitStack() as stack:
        running = []
        for server in wanted:
            announce(f"starting the {' and '.join(server.planes)} on port {server.port}")
            own = directory / f"{server.scheme}-{server.port}"
            own.mkdir()
            running.append(_STARTERS[server.scheme](server, own, stack))
        yield running


def _start_rabbitmq(wanted: Wanted, directory: Path, stack: ExitStack) -> Running:
    server = RabbitServer(directory, port=wanted.port)
    _require_same(wanted, server.url())
    stack.callback(server.end)
    server.start()
    return Running("RabbitMQ", wanted, lambda: server.running)


def _start_redis(wanted: Wanted, directory: Path, stack: ExitStack) -> Running:
    settings = {"port": str(wanted.port)}
    if "store" in wanted.planes:
        settings.update(DURABLE)
    server = RedisServer(directory, settings)
    _require_same(wanted, server.url())
    stack.callback(server.process.kill)
    server.process.start()
    return Running("Redis", wanted, lambda: server.process.running)


def _start_postgres(wanted: Wanted, directory: Path, stack: ExitStack) -> Running:
    server = PostgresServer(directory, port=wanted.port)
    _require_same(wanted, server.url())
    stack.callback(server.kill)
    server.start()
    return Running("PostgreSQL", wanted, lambda: server.running)


def _start_s3(wanted: Wanted, directory: Path, stack: ExitStack) -> Running:
    bucket = urlsplit(wanted.url).hostname or ""
    server = S3Server(directory, port=wanted.port)
    _require_same(wanted, server.url(bucket))
    stack.callback(server.process.kill)
    server.process.start()
    anyio.run(server.make_bucket, bucket)
    return Running("S3", wanted, lambda: server.process.running)


def _require_same(wanted: Wanted, url: str) -> None:
    if wanted.url != url:
        raise ConfigurationError(f"{_VARIABLES[wanted.planes[0]]}: the server that is started here answers at {url}")


_STARTERS: Mapping[str, Callable[[Wanted, Path, ExitStack], Running]] = {
    "amqp": _start_rabbitmq,
    "redis": _start_redis,
    "postgresql": _start_postgres,
    "s3": _start_s3,
}
