"""A private PostgreSQL server."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psutil

from jobkit.lab.servers.base import ServerProcess, free_port, require

# Debian keeps the server's programs off the PATH.
_INSTALLED = Path("/usr/lib/postgresql")
_USER = "postgres"


def installed_programs() -> list[Path]:
    """Return the directories of the versions that are installed, the newest first."""
    return sorted(_INSTALLED.glob("*/bin"), key=lambda found: float(found.parent.name), reverse=True)


def _unprivileged() -> str | None:
    """Return the user that the server must run as: it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


class PostgresServer:
    """The server: its life. With `durable` it survives a crash with all that it acknowledged."""

    def __init__(
        self,
        directory: Path,
        *,
        durable: bool = True,
        password: str = _USER,
        options: tuple[str, ...] = (),
        port: int | None = None,
    ) -> None:
        postgres, self._is_ready, self._control = require(
            "postgres", "pg_isready", "pg_ctl", beside=installed_programs()
        )
        self.port = port or free_port()
        self.data = directory / "data"
        self._user = user = _unprivileged()
        directory.chmod(0o755)
        self.data.mkdir(mode=0o700)
        self._password = password
        secret = directory / "password"
        secret.write_text(f"{password}\n")
        if user is not None:
            for path in (directory, self.data, secret):
                shutil.chown(path, user)
        subprocess.run(self._fill(secret), user=user, check=True, cwd=directory, stdout=subprocess.DEVNULL)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "400",
            "shared_buffers": "64MB",
            "log_min_messages": "fatal",
            "fsync": "on" if durable else "off",
        }
        command = [postgres, "-D", str(self.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        log = directory / "server.log"
        log.touch()
        self._process = ServerProcess(
            [*command, *options], answers=self._answers, log=log, environment={"LC_ALL": "C"}, user=user
        )

    def _fill(self, secret: Path) -> list[str]:
        """Return the command that makes what is in the data directory; `secret` is the file of the password."""
        (initdb,) = require("initdb", beside=installed_programs())
        return [
            *(initdb, "-D", str(self.data), "-U", _USER, "-A", "scram-sha-256", "--pwfile", str(secret)),
            *("--encoding=UTF8", "--locale=C", "--no-sync"),
        ]

    @property
    def running(self) -> bool:
        """Return whether the server's main process is alive."""
        return self._process.running

    def start(self) -> None:
        self._process.start()

    def stop(self) -> None:
        """Stop the server in order, as its operator would, without waiting for its clients to leave."""
        command = [self._control, "stop", "-D", str(self.data), "-m", "fast"]
        subprocess.run(command, user=self._user, cwd=self.data.parent, check=True, stdout=subprocess.DEVNULL)
        self._process.stop()

    def kill(self) -> None:
        """Kill the server with all its processes at once, as the loss of its machine would."""
        processes = self._processes()
        self._process.kill()
        self._each(processes, psutil.Process.kill)
        psutil.wait_procs(processes)

    def pause(self) -> None:
        """Stop all of the server's processes where they are; connections stay open and nothing answers."""
        self._each(self._processes(), psutil.Process.suspend)

    def resume(self) -> None:
        """Resume a paused server."""
        self._each(self._processes(), psutil.Process.resume)

    @staticmethod
    def _each(processes: Iterable[psutil.Process], do: Callable[[psutil.Process], None]) -> None:
        for process in processes:
            # One that served a connection may have ended with it meanwhile.
            with suppress(psutil.NoSuchProcess):
                do(process)

    def _processes(self) -> list[psutil.Process]:
        # Each is in a process group of its own.
        if not self._process.running:
            return []
        first = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
        return [first, *first.children(recursive=True)]

    def _answers(self) -> bool:
        ready = subprocess.run([self._is_ready, "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "1"], check=False)
        return ready.returncode == 0

    def url(self, database: str = "postgres", *, port: int | None = None, password: str | None = None) -> str:
        """Return the URL of a database, by way of another port where there is a proxy at it."""
        secret = quote(self._password if password is None else password, safe="")
        return f"postgresql://{_USER}:{secret}@127.0.0.1:{port or self.port}/{database}"

    async def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements, each in a transaction of its own."""
        # Only here, so that a server can be started without the driver.
        import asyncpg

        connection = await asyncpg.connect(self.url(database), timeout=30)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()
