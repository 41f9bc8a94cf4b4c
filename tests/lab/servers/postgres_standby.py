"""A standby of a PostgreSQL server, made as people make them."""

from __future__ import annotations

from pathlib import Path

from jobkit.lab.servers.base import require
from jobkit.lab.servers.postgres import PostgresServer, installed_programs

NAME = "standby"


class PostgresStandby(PostgresServer):
    """A copy of a server that runs, settings and all, which follows it until it is promoted."""

    def __init__(self, directory: Path, primary: PostgresServer) -> None:
        self._primary = primary
        super().__init__(directory)

    def _fill(self, secret: Path) -> list[str]:
        (copy,) = require("pg_basebackup", beside=installed_programs())
        source = f"{self._primary.url()}?application_name={NAME}"
        return [copy, "-D", str(self.data), "-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync"]
