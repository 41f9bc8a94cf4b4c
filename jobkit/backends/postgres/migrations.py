"""The database's tables and functions: made by `jobkit migrate`, checked by everybody else.

Each file in `migrations/` is one step of the tables, named by its number; a step that was ever released is never
changed again. Functions are no steps: `install_functions.py` makes them as they are now, after the steps.

No library does this here: those there are (yoyo, alembic) bring a second, synchronous driver, and more than the fifty
lines below to configure. All pending steps and the functions are one transaction, under a lock of the server's, so any
number of processes may do it at once, and one that fails or dies leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import asyncpg

from jobkit.backends.postgres import install_functions
from jobkit.backends.postgres.address import PostgresAddress
from jobkit.backends.postgres.connect import Connector
from jobkit.backends.postgres.faults import explained
from jobkit.backends.postgres.pool import CONNECT_SECONDS
from jobkit.backends.versions import too_old
from jobkit.errors import ConfigurationError

# "jobkit" in ASCII: the number of the lock that whoever migrates holds.
_LOCK = 0x6A6F626B6974
OLDEST_VERSION = "14"
_LIMIT_SECONDS = 120.0

_BOOK = """
    CREATE SCHEMA IF NOT EXISTS jobkit;
    CREATE TABLE IF NOT EXISTS jobkit.migrations (
        number integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step; `name` is its file's."""

    number: int
    name: str
    script: str


def known_migrations() -> list[Migration]:
    """Return the steps that this version of jobkit knows, in order."""
    steps = [
        Migration(int(file.name.partition("_")[0]), file.name, file.read_text("utf-8"))
        for file in files("jobkit.backends.postgres").joinpath("migrations").iterdir()
        if file.name.endswith(".sql")
    ]
    return sorted(steps, key=lambda migration: migration.number)


async def migrate(address: PostgresAddress) -> Sequence[str]:
    """Apply the steps that are missing, renew the functions where they differ, and return the names of what was done.

    Raises `ConfigurationError` or `Unavailable`.
    """
    with explained(address.name):
        async with asyncio.timeout(_LIMIT_SECONDS):
            connection = await Connector(address).connect(timeout=CONNECT_SECONDS)
            try:
                return await _apply(connection, address)
            finally:
                # At once, and whatever state it is in; the server rolls back what was not committed.
                connection.terminate()


async def _apply(connection: Any, address: PostgresAddress) -> Sequence[str]:
    check_server(connection, address)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(_BOOK + install_functions.BOOK)
        applied = {row["number"] for row in await connection.fetch("SELECT number FROM jobkit.migrations")}
        known = known_migrations()
        _refuse_newer(max(applied, default=0), known, address)
        pending = [migration for migration in known if migration.number not in applied]
        for migration in pending:
            await connection.execute(migration.script)
            await connection.execute(
                "INSERT INTO jobkit.migrations (number, name) VALUES ($1, $2)", migration.number, migration.name
            )
        done = [migration.name for migration in pending]
        renewed = await install_functions.replace_functions(connection, address)
        return done if renewed is None else [*done, renewed]


async def check_migrated(connection: Any, address: PostgresAddress) -> None:
    """Raise `ConfigurationError` where the database is not as this version of jobkit needs it."""
    check_server(connection, address)
    try:
        applied = await connection.fetchval("SELECT coalesce(max(number), 0) FROM jobkit.migrations")
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        applied = 0
    known = known_migrations()
    _refuse_newer(applied, known, address)
    if applied < known[-1].number:
        raise ConfigurationError(
            f"{address.name} has jobkit's tables at version {applied}, this jobkit needs {known[-1].number}: "
            "run `jobkit migrate`"
        )
    await install_functions.check_functions(connection, address)


def check_server(connection: Any, address: PostgresAddress) -> None:
    """Raise `ConfigurationError` where the server cannot be used at all."""
    told = connection.get_settings()
    if (old := too_old("PostgreSQL", told.server_version, OLDEST_VERSION)) is not None:
        raise ConfigurationError(f"{address.name}: {old}")
    encoding = told.server_encoding
    if encoding != "UTF8":
        raise ConfigurationError(
            f"{address.name} keeps text as {encoding}: create the database with ENCODING 'UTF8' TEMPLATE template0"
        )


def _refuse_newer(applied: int, known: Sequence[Migration], address: PostgresAddress) -> None:
    if applied > known[-1].number:
        raise ConfigurationError(
            f"{address.name} was migrated by a newer jobkit (version {applied}, this one knows {known[-1].number}): "
            "upgrade jobkit here"
        )
