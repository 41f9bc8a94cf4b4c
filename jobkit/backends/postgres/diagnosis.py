"""What must be so of a server and a database for jobkit to rely on them, and what is.

It finds out and decides nothing. Nothing is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import asyncpg

from jobkit.backends.postgres.address import PostgresAddress, parse_address
from jobkit.backends.postgres.connect import Connector
from jobkit.backends.postgres.faults import explained
from jobkit.backends.postgres.migrations import check_migrated, check_server
from jobkit.backends.postgres.pool import ASIDE_CONNECTIONS, CONNECT_SECONDS, WORK_CONNECTIONS
from jobkit.errors import ConfigurationError
from jobkit.model.clock import Clock
from jobkit.model.side_by_side import side_by_side
from jobkit.ports.diagnosis import Finding, Status, clock_finding

_LIMIT_SECONDS = 8.0
_HOST_SECONDS = 2.0
# What a process takes, the notifier's connection included.
_CONNECTIONS = WORK_CONNECTIONS + ASIDE_CONNECTIONS + 1

_SERVER = """
    SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
           current_setting('synchronous_commit') AS synchronous_commit, current_setting('autovacuum') AS autovacuum,
           pg_is_in_recovery() AS standby, current_setting('default_transaction_read_only') AS read_only,
           extract(epoch FROM clock_timestamp())::double precision AS clock,
           current_setting('max_connections')::integer
               - current_setting('superuser_reserved_connections')::integer AS connections,
           (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::integer AS taken,
           (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS user_limit,
           (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS database_limit,
           has_database_privilege(current_database(), 'CREATE') AS may_create,
           current_setting('synchronous_standby_names') AS standby_names,
           (SELECT count(*) FROM pg_stat_replication) AS standbys
"""

# What the user who is asking lacks.
_MISSING = """
    SELECT 'USAGE on schema jobkit' AS missing WHERE NOT has_schema_privilege('jobkit', 'USAGE')
    UNION ALL
    SELECT p.privilege || ' on ' || c.oid::regclass
    FROM pg_class c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p (privilege)
    WHERE c.relnamespace = 'jobkit'::regnamespace AND c.relkind = 'r' AND c.relname NOT IN ('migrations', 'functions')
      AND NOT has_table_privilege(c.oid, p.privilege)
    UNION ALL
    SELECT 'USAGE on ' || c.oid::regclass
    FROM pg_class c
    WHERE c.relnamespace = 'jobkit'::regnamespace
      AND CASE WHEN c.relkind = 'S' THEN NOT has_sequence_privilege(c.oid, 'USAGE') END
    UNION ALL
    SELECT 'EXECUTE on ' || f.oid::regprocedure
    FROM pg_proc f WHERE f.pronamespace = 'jobkit'::regnamespace AND NOT has_function_privilege(f.oid, 'EXECUTE')
"""


async def diagnose(url: str, clock: Clock) -> list[Finding]:
    """Return what there is to say of the database that `url` names, as the place of a store.

    Raises `ConfigurationError` or `Unavailable`.
    """
    address = parse_address(url)
    with explained(address.name):
        async with asyncio.timeout(_LIMIT_SECONDS):
            connection = await Connector(address).connect(timeout=CONNECT_SECONDS)
            try:
                return await _examined(connection, address, clock)
            finally:
                connection.terminate()


async def _examined(connection: Any, address: PostgresAddress, clock: Clock) -> list[Finding]:
    version = _version(connection, address)
    if version.status is Status.FAIL:
        # What follows asks for what an older server may not know.
        return [version]
    asked = clock.wall()
    told = await connection.fetchrow(_SERVER)
    answered = clock.wall()
    return [
        version,
        _role(told),
        _fsync(told),
        _full_pages(told),
        _synchronous(told),
        *_standbys(told),
        _autovacuum(told),
        _connections(told),
        clock_finding(told["clock"], asked, answered),
        *await _tables(connection, address, may_create=told["may_create"]),
        *await _hosts(address),
    ]


async def _hosts(address: PostgresAddress) -> list[Finding]:
    """Try each host by itself, where the URL names several: one that is away is not seen as long as the primary is
    there.
    """
    if len(address.hosts) < 2:
        return []
    return await side_by_side(partial(_host, address, *host) for host in address.hosts)


async def _host(address: PostgresAddress, host: str, port: int) -> Finding:
    where = f"{host}:{port}"
    try:
        connection = await asyncpg.connect(address.url, timeout=_HOST_SECONDS, host=host, port=port)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        what = f"{where} cannot be used: {str(error) or 'no answer in time'}"
        return Finding(Status.WARN, what, "start this server, or take it out of JOBKIT_STORE_URL")
    try:
        standby = await connection.fetchval("SELECT pg_is_in_recovery()")
    finally:
        connection.terminate()
    return Finding(Status.OK, f"{where} answers, {'a standby' if standby else 'the primary'}")


def _version(connection: Any, address: PostgresAddress) -> Finding:
    try:
        check_server(connection, address)
    except ConfigurationError as error:
        return Finding(Status.FAIL, str(error), "use another server or database")
    # What follows it says who built it.
    return Finding(Status.OK, f"PostgreSQL {connection.get_settings().server_version.split()[0]}")


def _role(told: Mapping[str, Any]) -> Finding:
    if told["standby"]:
        change = "name the primary, or all servers and target_session_attrs=read-write"
        return Finding(Status.FAIL, "it is a standby, which takes no writes", change)
    if told["read_only"] == "on":
        what = "transactions here are read-only (default_transaction_read_only = on)"
        change = (
            "set it to off, for the server (postgresql.conf), the database (ALTER DATABASE) or the user (ALTER ROLE)"
        )
        return Finding(Status.FAIL, what, change)
    return Finding(Status.OK, "it takes writes")


def _fsync(told: Mapping[str, Any]) -> Finding:
    what = f"fsync {told['fsync']}"
    if told["fsync"] == "on":
        return Finding(Status.OK, what)
    what = f"{what}: a crash of the machine loses what was committed, or leaves a database that cannot be read"
    return Finding(Status.FAIL, what, "set fsync = on in postgresql.conf and reload the server")


def _full_pages(told: Mapping[str, Any]) -> Finding:
    what = f"full_page_writes {told['full_page_writes']}"
    if told["full_page_writes"] == "on":
        return Finding(Status.OK, what)
    what = f"{what}: a power cut can leave pages half written, unless the file system rules that out"
    return Finding(Status.WARN, what, "set full_page_writes = on in postgresql.conf and reload the server")


def _synchronous(told: Mapping[str, Any]) -> Finding:
    what = f"synchronous_commit {told['synchronous_commit']}"
    if told["synchronous_commit"] != "off":
        return Finding(Status.OK, what)
    what = (
        f"{what}: jobkit sets it to on for what it commits, but jobs submitted in transactions of your own may be lost "
        "in a crash"
    )
    return Finding(Status.WARN, what, "set synchronous_commit = on for the database, or in those transactions")


def _standbys(told: Mapping[str, Any]) -> list[Finding]:
    """Say so where every commit would wait for a standby that is not there, as after promoting a copy of a primary."""
    names = told["standby_names"]
    if not names:
        return []
    what = f"synchronous_standby_names {names!r}, {told['standbys']} standbys are connected"
    if told["standbys"] or told["synchronous_commit"] == "local":
        return [Finding(Status.OK, what)]
    change = "ALTER SYSTEM SET synchronous_standby_names = '', and SELECT pg_reload_conf(); or connect such a standby"
    return [Finding(Status.FAIL, f"{what}: every commit waits for one", change)]


def _autovacuum(told: Mapping[str, Any]) -> Finding:
    if told["autovacuum"] == "on":
        return Finding(Status.OK, "autovacuum on")
    what = "autovacuum off: rows of jobs change often, so tables grow and every call becomes slower"
    return Finding(Status.WARN, what, "set autovacuum = on in postgresql.conf and reload the server")


def _connections(told: Mapping[str, Any]) -> Finding:
    limits = {
        "max_connections": told["connections"],
        "the user's CONNECTION LIMIT": told["user_limit"],
        "the database's CONNECTION LIMIT": told["database_limit"],
    }
    # Below zero there is none. Who else is connected counts against each, as far as anybody can tell.
    name, limit = min(((name, limit) for name, limit in limits.items() if limit >= 0), key=lambda item: item[1])
    free = max(0, limit - told["taken"])
    what = f"{free} of {limit} connections are free"
    if free >= _CONNECTIONS:
        return Finding(Status.OK, f"{what}, enough for {free // _CONNECTIONS} more workers")
    return Finding(Status.WARN, f"{what}, a worker takes up to {_CONNECTIONS}", f"raise {name}, or run fewer workers")


async def _tables(connection: Any, address: PostgresAddress, *, may_create: bool) -> list[Finding]:
    try:
        await check_migrated(connection, address)
    except asyncpg.InsufficientPrivilegeError:
        change = "grant them to this user, or let the user who ran `jobkit migrate` do the work"
        return [Finding(Status.FAIL, "this user has no rights on jobkit's tables", change)]
    except ConfigurationError as error:
        what, _, change = str(error).partition(": ")
        if "migrate" in change and not may_create:
            change += ", as a user with CREATE on the database"
        return [Finding(Status.FAIL, what, change)]
    missing = [row["missing"] for row in await connection.fetch(_MISSING)]
    if not missing:
        return [Finding(Status.OK, "its tables and functions are up to date, and this user has the rights it needs")]
    named = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
    return [Finding(Status.FAIL, f"this user lacks {named}", "GRANT it, or use the user who ran `jobkit migrate`")]
