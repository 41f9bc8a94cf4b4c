"""A private RabbitMQ node, with an Erlang port mapper of its own."""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jobkit.lab.servers.base import ServerProcess, accepts, free_port, require

# The scripts themselves: the ones on the PATH are wrappers that insist on the system's own account.
_SCRIPT = "/usr/lib/rabbitmq/bin/rabbitmq-server"

_CONFIG = """
listeners.tcp.local = 127.0.0.1:{port}
log.file.level = warning
disk_free_limit.absolute = 10MB
raft.wal_max_size_bytes = 32000000
loopback_users = none
"""
_CALL_ATTEMPTS = 5


# A node that finds others joins them at its first start. Those that see less than half of them stand still.
_CLUSTERED = """
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = {first}
cluster_formation.classic_config.nodes.2 = {node}
cluster_formation.randomized_startup_delay_range.min = 0
cluster_formation.randomized_startup_delay_range.max = 1
cluster_partition_handling = pause_minority
"""


class RabbitServer:
    """The node: its life, and what its operator can do to it. One that is started `beside` another joins it."""

    def __init__(self, directory: Path, *, port: int | None = None, beside: RabbitServer | None = None) -> None:
        *_, epmd, self._erl_call = require("rabbitmq-server", "epmd", "erl_call")
        script = _SCRIPT if Path(_SCRIPT).exists() else require("rabbitmq-server")[0]
        self.port = port or free_port()
        self._node = f"jobkit-{os.getpid()}-{secrets.token_hex(3)}@localhost"
        self._cookie: str = secrets.token_hex(16) if beside is None else beside._cookie
        self._epmd_port: int
        self._numbers = itertools.count(1)
        self._data = directory / "data"
        self._starts = 0
        epmd_port = self._epmd_port = free_port() if beside is None else beside._epmd_port
        config = directory / "rabbitmq.conf"
        clustered = "" if beside is None else _CLUSTERED.format(first=beside._node, node=self._node)
        config.write_text(_CONFIG.format(port=self.port) + clustered)
        (directory / "enabled_plugins").write_text("[].\n")
        self._environment = {
            "HOME": str(directory),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(epmd_port),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "none.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
            **_without_plugins(Path(script), directory),
            "RABBITMQ_MNESIA_BASE": str(self._data),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-kernel inet_dist_use_interface {{127,0,0,1}} "
            f"-setcookie {self._cookie}",
        }
        log = directory / "output.log"
        self._epmd = ServerProcess(
            [epmd, "-address", "127.0.0.1", "-port", str(epmd_port)],
            answers=lambda: accepts(epmd_port),
            log=log,
            environment=self._environment,
        )
        if beside is not None:
            self._epmd = beside._epmd
        self._server = ServerProcess([script], answers=self._greets, log=log, environment=self._environment)

    @property
    def running(self) -> bool:
        """Return whether the node's process is alive."""
        return self._server.running

    def url(self, vhost: str = "/", *, port: int | None = None) -> str:
        """Return the node's URL for a virtual host, by way of another port where there is a proxy at it."""
        return f"amqp://guest:guest@127.0.0.1:{port or self.port}/{vhost.replace('/', '%2F')}"

    def start(self) -> None:
        """Start the node, unless it runs, and return once it answers."""
        self._epmd.start()
        if not self._server.running:
            self._server.start()
            self._starts += 1

    def stop(self) -> None:
        """Stop the node as its operator would."""
        self._server.stop()

    def end(self) -> None:
        """Stop everything that was started, in a hurry: nobody needs the data any more."""
        self._server.kill()
        self._epmd.kill()

    def kill(self) -> None:
        """Kill the node as a crash would."""
        self._server.kill()

    def start_empty(self, *vhosts: str) -> None:
        """Start the node, which does not run, with nothing of what it had but the names of virtual hosts."""
        shutil.rmtree(self._data)
        self.start()
        for vhost in vhosts:
            self.add_vhost(vhost)

    def pause(self) -> None:
        self._server.pause()

    def resume(self) -> None:
        self._server.resume()

    def restart(self) -> None:
        self.stop()
        self.start()

    @contextmanager
    def vhost(self) -> Iterator[str]:
        """Make a virtual host of the test's own; yield its name."""
        name = f"test-{next(self._numbers)}"
        self.add_vhost(name)
        starts = self._starts
        try:
            yield name
        finally:
            # RabbitMQ before 3.12 stops dead-lettering for good where queues are deleted while they are starting.
            if self._starts == starts:
                self.delete_vhost(name)

    def add_vhost(self, name: str) -> None:
        """Make a virtual host that the tests' user may use."""
        self.call(f'rabbit_vhost:add(<<"{name}">>, <<"tests">>)')
        self.permit(name)

    def permit(self, vhost: str) -> None:
        """Let the tests' user do everything in a virtual host."""
        self._set_permissions(vhost, write=".*")

    def forbid_writing(self, vhost: str) -> None:
        """Let the tests' user publish nothing in a virtual host."""
        self._set_permissions(vhost, write="^$")

    def _set_permissions(self, vhost: str, *, write: str) -> None:
        self.call(
            f'rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{vhost}">>, <<".*">>, <<"{write}">>, '
            '<<".*">>, <<"tests">>)'
        )

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with all that is in it."""
        self.call(f'rabbit_vhost:delete(<<"{name}">>, <<"tests">>)')

    @contextmanager
    def set(self, name: str, value: str) -> Iterator[None]:
        """Set one of the server's own settings, for channels that are opened during the block."""
        before = self.call(f"application:get_env(rabbit, {name})")
        # From RabbitMQ 4 on, some are read once as the server starts, and from there afterwards.
        kept = self.call(f"persistent_term:get({name}, none)")
        self.call(f"application:set_env(rabbit, {name}, {value})")
        if kept != "none":
            self.call(f"persistent_term:put({name}, {value})")
        try:
            yield
        finally:
            if kept != "none":
                self.call(f"persistent_term:put({name}, {kept})")
            undo = (
                f"set_env(rabbit, {name}, element(2, {before}))"
                if before != "undefined"
                else f"unset_env(rabbit, {name})"
            )
            self.call(f"application:{undo}")

    @contextmanager
    def policy(self, vhost: str, pattern: str, name: str, value: int) -> Iterator[None]:
        """Put a policy on the queues whose names match, for the block."""
        settings = f'[{{<<"{name}">>, {value}}}], 0, <<"queues">>, <<"tests">>'
        self.call(f'rabbit_policy:set(<<"{vhost}">>, <<"test">>, <<"{pattern}">>, {settings})')
        try:
            yield
        finally:
            self.call(f'rabbit_policy:delete(<<"{vhost}">>, <<"test">>, <<"tests">>)')

    @contextmanager
    def short_of_memory(self) -> Iterator[None]:
        """Have the server believe for the block that it is short of memory, so that it blocks publishers."""
        self.call("vm_memory_monitor:set_vm_memory_high_watermark(0.00001)")
        try:
            yield
        finally:
            self.call("vm_memory_monitor:set_vm_memory_high_watermark(0.4)")

    def call(self, expression: str) -> str:
        """Evaluate an Erlang expression in the node and return what it printed as its value."""
        command = [self._erl_call, "-r", "-sname", self._node, "-c", self._cookie, "-timeout", "30", "-e"]
        for attempts_left in reversed(range(_CALL_ATTEMPTS)):
            done = subprocess.run(
                command,
                input=expression + ".\n",
                env={**os.environ, **self._environment},
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            if done.returncode == 0 and done.stdout.startswith("{ok,"):
                return done.stdout[len("{ok,") :].strip().removesuffix("}").strip()
            # Seen now and then on a busy machine. Nothing was evaluated then; what fails later must not be repeated.
            if not attempts_left or "failed to connect" not in done.stderr:
                break
        raise RuntimeError(f"{expression} failed: {done.stdout} {done.stderr}")

    def _greets(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(b"AMQP\0\0\x09\x01")
            return bool(connection.recv(1))
        return False


def _without_plugins(script: Path, directory: Path) -> dict[str, str]:
    """Return what has RabbitMQ 3 look through its own parts as it starts, and not through plugins that are not enabled.

    It reads all that it finds beside them: a quarter of the processor time of a start.
    """
    installed = next(iter(script.parents[1].glob("lib/rabbitmq_server-3.*/plugins")), None)
    if installed is None:
        return {}
    parts = directory / "parts"
    parts.mkdir()
    for part in installed.iterdir():
        if not part.name.startswith("rabbitmq_") or part.name.startswith("rabbitmq_prelaunch-"):
            (parts / part.name).symlink_to(part)
    return {"RABBITMQ_PLUGINS_DIR": str(parts)}


@functools.cache
def shared_server() -> RabbitServer:
    """Return the node of this test process, started when first asked for; it ends with the process at the latest."""
    directory = Path(tempfile.mkdtemp(prefix="jobkit-rabbitmq-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    server = RabbitServer(directory)
    atexit.register(server.end)
    server.start()
    return server
