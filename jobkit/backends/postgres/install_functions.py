"""The database's functions: all as they are now, in `functions/`, made anew by `jobkit migrate` where they differ.

It opens no transaction and takes no lock: who migrates has both. Unlike tables, functions hold nothing, so they need no
history. What is recorded of them is a digest of all files, the jobkit that made them, and their signatures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from typing import Any

import asyncpg

from jobkit.backends.postgres.address import PostgresAddress
from jobkit.backends.versions import release
from jobkit.distribution import installed_version
from jobkit.errors import ConfigurationError

BOOK = """
    CREATE TABLE IF NOT EXISTS jobkit.functions (
        digest text NOT NULL, version text NOT NULL, signatures text[] NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now());
"""
_SIGNATURE = re.compile(r"^CREATE OR REPLACE FUNCTION jobkit\.(.+?)\s+LANGUAGE\b", re.MULTILINE | re.DOTALL)
_RECORDED = "SELECT digest, version, signatures FROM jobkit.functions"
_PRESENT = "SELECT proname FROM pg_proc WHERE pronamespace = 'jobkit'::regnamespace"
_TRIGGERS = (
    "SELECT quote_ident(tgname) AS name, tgrelid::regclass::text AS place FROM pg_trigger "
    "JOIN pg_proc p ON p.oid = tgfoid WHERE p.pronamespace = 'jobkit'::regnamespace AND NOT tgisinternal"
)
_DROPPABLE = (
    "SELECT oid::regprocedure::text AS name FROM pg_proc "
    "WHERE pronamespace = 'jobkit'::regnamespace AND NOT proname = ANY ($1::text[])"
)


@dataclass(frozen=True)
class FunctionSet:
    """All functions as they are now: the text of each file, in the order of the files' names."""

    scripts: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """What tells this set from any other."""
        return sha256("\0".join(self.scripts).encode()).hexdigest()

    @cached_property
    def signatures(self) -> frozenset[str]:
        """What each takes and returns, with its name in front: what CREATE OR REPLACE could not change."""
        return frozenset(" ".join(found.split()) for script in self.scripts for found in _SIGNATURE.findall(script))

    @property
    def names(self) -> frozenset[str]:
        """The name of each."""
        return frozenset(map(_name, self.signatures))


@dataclass(frozen=True, slots=True)
class RecordedFunctions:
    """What a database has: the digest and the jobkit of who made them last ("" for nobody), and which are there."""

    digest: str
    version: str
    signatures: frozenset[str]
    present: frozenset[str]

    def are(self, known: FunctionSet) -> bool:
        """Return whether they are those, none missing."""
        return self.digest == known.digest and known.names <= self.present


def known_functions() -> FunctionSet:
    """Return the functions as this version of jobkit has them."""
    found = [
        (file.name, file.read_text("utf-8"))
        for file in files("jobkit.backends.postgres").joinpath("functions").iterdir()
        if file.name.endswith(".sql")
    ]
    return FunctionSet(tuple(script for _, script in sorted(found)))


async def replace_functions(connection: Any, address: PostgresAddress) -> str | None:
    """Make the database's functions this jobkit's, and return what to call the set; None where they were already.

    Those that are no longer there, or differ in more than their body, are dropped first; the rest keep their grants.
    Raises `ConfigurationError` where a newer jobkit made them.
    """
    known = known_functions()
    recorded = await _recorded(connection)
    if recorded.are(known):
        return None
    _refuse_newer(recorded, address)
    same = [_name(signature) for signature in recorded.signatures & known.signatures]
    # Their own triggers are made anew with them.
    for row in await connection.fetch(_TRIGGERS):
        await connection.execute(f"DROP TRIGGER {row['name']} ON {row['place']}")
    for row in await connection.fetch(_DROPPABLE, same):
        await connection.execute(f"DROP ROUTINE {row['name']}")
    for script in known.scripts:
        await connection.execute(script)
    await connection.execute("DELETE FROM jobkit.functions")
    await connection.execute(
        "INSERT INTO jobkit.functions (digest, version, signatures) VALUES ($1, $2, $3)",
        *(known.digest, installed_version(), sorted(known.signatures)),
    )
    return f"functions {known.digest[:12]}"


async def check_functions(connection: Any, address: PostgresAddress) -> None:
    """Raise `ConfigurationError` where the database's functions are not this jobkit's."""
    try:
        recorded = await _recorded(connection)
    except asyncpg.UndefinedTableError:
        recorded = RecordedFunctions("", "", frozenset(), frozenset())
    if recorded.are(known_functions()):
        return
    _refuse_newer(recorded, address)
    raise ConfigurationError(
        f"{address.name} has functions {f'of jobkit {recorded.version}' if recorded.version else 'of no jobkit'} that "
        f"are not those of this one ({installed_version()}): run `jobkit migrate`"
    )


async def _recorded(connection: Any) -> RecordedFunctions:
    row = await connection.fetchrow(_RECORDED)
    present = frozenset(found["proname"] for found in await connection.fetch(_PRESENT))
    if row is None:
        return RecordedFunctions("", "", frozenset(), present)
    return RecordedFunctions(row["digest"], row["version"], frozenset(row["signatures"]), present)


def _refuse_newer(recorded: RecordedFunctions, address: PostgresAddress) -> None:
    own = installed_version()
    # Of a version that is unknown nothing is newer.
    if release(recorded.version) > release(own) > ():
        raise ConfigurationError(
            f"{address.name} has the functions of a newer jobkit ({recorded.version}, this one is {own}): "
            "upgrade jobkit here"
        )


def _name(signature: str) -> str:
    return signature.partition("(")[0]
