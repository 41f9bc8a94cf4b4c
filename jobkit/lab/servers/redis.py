"""Redis servers of the tests' own: one for the whole run, emptied for each test, and any that a test may ill-treat."""

from __future__ import annotations

import atexit
import functools
import shutil
import socket
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis

from jobkit.lab.servers.base import ServerProcess, free_port, require

# What makes each answered write outlive the server's death.
DURABLE = {"appendonly": "yes", "appendfsync": "always"}
_PATIENCE_SECONDS = 10.0


class RedisServer:
    """The server: its life, and what its operator can do to it. Settings are those of redis.conf.

    With `sentinel`, the lines of its configuration that say so, it is a sentinel.
    """

    def __init__(self, directory: Path, settings: Mapping[str, str], sentinel: Sequence[str] = ()) -> None:
        (program,) = require("redis-server")
        self.directory = directory
        self.port = int(settings.get("port", free_port()))
        self._tls_port = int(settings.get("tls-port", 0))
        self._ca = settings.get("tls-ca-cert-file")
        self._password = settings.get("requirepass")
        given = {"bind": "127.0.0.1", "port": str(self.port), "dir": str(directory), "logfile": '""'}
        given.update({"save": '""'} if not sentinel else {}, **settings)
        config = directory / f"{self.port}.conf"
        config.write_text("\n".join([f"{name} {value}" for name, value in given.items()] + [*sentinel, ""]))
        command = [program, str(config), *(["--sentinel"] if sentinel else [])]
        self.process = ServerProcess(command, answers=self._answers, log=directory / f"{self.port}.log")

    def url(self, *, port: int | None = None, login: str = "", database: int = 0) -> str:
        """Return the server's URL, by way of another port where there is a proxy at it; `login` is USER:PASSWORD."""
        if not login and self._password:
            login = f":{self._password}"
        return f"redis://{login}{'@' if login else ''}127.0.0.1:{port or self.port}/{database}"

    def start_empty(self) -> None:
        """Start the server, which does not run, without what it had kept in its append-only file."""
        shutil.rmtree(self.directory / "appendonlydir")
        self.process.start()

    def call(self, *command: str | int) -> Any:
        """Carry out a command as the server's operator."""
        with redis.Redis(port=self.port, password=self._password, socket_timeout=_PATIENCE_SECONDS) as client:
            return client.execute_command(*command)

    def evaluate(self, script: str, *arguments: str | float) -> Any:
        """Run a Lua script as the server's operator."""
        return self.call("EVAL", script, 0, *map(str, arguments))

    def _answers(self) -> bool:
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self._tls_port or self.port), 1) as plain,
            self._encrypted(plain) if self._tls_port else plain as connection,
        ):
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        return False

    def _encrypted(self, plain: socket.socket) -> socket.socket:
        return ssl.create_default_context(cafile=self._ca).wrap_socket(plain, server_hostname="127.0.0.1")


def start_server(settings: Mapping[str, str] | None = None, *, sentinel: Sequence[str] = ()) -> RedisServer:
    """Start a server that ends, and whose files go, with the test run at the latest."""
    directory = Path(tempfile.mkdtemp(prefix="jobkit-redis-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    server = RedisServer(directory, settings or {}, sentinel)
    atexit.register(server.process.kill)
    server.process.start()
    return server


@functools.cache
def shared_server() -> RedisServer:
    """Return the run's server; started when first asked for."""
    return start_server()


def empty_server() -> RedisServer:
    """Return the run's server with nothing in it."""
    server = shared_server()
    server.call("FLUSHALL")
    return server
