"""A cursor on a caller's connection: psycopg 3, SQLAlchemy on it, or Django."""

from __future__ import annotations

from typing import Any

from jobkit.errors import ConfigurationError


def cursor_of(connection: Any) -> Any:
    """Return a cursor in the transaction that is open on a connection; its rows are tuples.

    The connection is one of psycopg 3, a session or connection of SQLAlchemy on it, or `django.db.connection`. Raises
    `ConfigurationError` where it is in no transaction, or of another kind.
    """
    if hasattr(connection, "in_atomic_block"):
        if not connection.in_atomic_block:
            raise _no_transaction("with transaction.atomic():")
        return connection.cursor()
    driver = _below_sqlalchemy(connection)
    if not _is_psycopg(driver):
        raise ConfigurationError(
            "a transaction of your own needs a psycopg 3 connection, a session or connection of SQLAlchemy on one, or "
            f"django.db.connection, not {connection!r:.80}"
        )
    from psycopg.pq import TransactionStatus
    from psycopg.rows import tuple_row

    if driver.autocommit and driver.info.transaction_status == TransactionStatus.IDLE:
        raise _no_transaction("with connection.transaction():")
    return driver.cursor(row_factory=tuple_row)


def _below_sqlalchemy(connection: Any) -> Any:
    """Return the driver's connection below a session or connection of SQLAlchemy; any other as it is."""
    if any(base.__module__.partition(".")[0] == "sqlalchemy" for base in type(connection).__mro__):
        # A session gives out the connection of its transaction, which it begins where there is none.
        below = connection.connection() if callable(connection.connection) else connection
        return below.connection.driver_connection
    return connection


def _is_psycopg(driver: Any) -> bool:
    """Return whether it is a connection of psycopg 3, and not one for an event loop."""
    names = {(base.__module__.partition(".")[0], base.__name__) for base in type(driver).__mro__}
    return ("psycopg", "Connection") in names


def _no_transaction(example: str) -> ConfigurationError:
    return ConfigurationError(
        f"this connection is in no transaction: begin one ({example}), call this in it, then commit it"
    )
