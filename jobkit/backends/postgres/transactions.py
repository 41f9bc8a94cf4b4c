"""Users' own statements and jobkit's in one transaction: theirs in ours at a commit, or ours in theirs at a submit.

It promises that both change together or not at all. It does not promise that a participant runs once: where the
transaction was rolled back because of another one it runs again, in a new transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg

from jobkit.backends.postgres import cancel, commit, foreign, submit
from jobkit.backends.postgres.faults import explained, explained_by_code, is_about_connection, is_overtaken
from jobkit.backends.postgres.pool import ConnectionPool
from jobkit.errors import ConfigurationError, ParticipantFailed
from jobkit.ports.inspection import Cancellation
from jobkit.ports.store import Committed, Duplicate, NewJob, Refused, SubmitAnswer
from jobkit.ports.transactions import ForeignConnection, Participant

if TYPE_CHECKING:
    from jobkit.backends.postgres.lending import Connection

# How much of the time that a call has is theirs.
_SHARE = 0.5

# What a commit checks last, asked for while it can still be told whose statements were at fault. It fails, too, where
# the transaction has failed already and a participant went on as if it had not: PostgreSQL answers the COMMIT of such a
# transaction by rolling it back, without an error.
_CHECK_NOW = "SET CONSTRAINTS ALL IMMEDIATE"

_PLANNED_AS_EVER = (
    "SET LOCAL enable_seqscan TO DEFAULT; SET LOCAL enable_bitmapscan TO DEFAULT; SET LOCAL jit TO DEFAULT"
)


async def commit_with(
    sessions: ConnectionPool, ending: commit.Ending, participants: Sequence[Participant]
) -> Committed | Duplicate | Refused:
    """Commit one job and have the participants write in the same transaction, once the mark is verified.

    They do not run where the job is not committed here and now. Raises `ParticipantFailed`, with nothing written.
    """
    seconds = sessions.call_seconds * _SHARE
    rows = await sessions.run(partial(_commit, ending, participants, seconds), aside=True)
    return commit.answers([ending], rows)[0]


async def _commit(
    ending: commit.Ending, participants: Sequence[Participant], seconds: float, connection: Connection
) -> list[Any]:
    async with connection.transaction():
        rows = await connection.fetch(commit.COMMIT, *commit.arguments([ending]))
        if rows[0]["answer"] == "committed":
            try:
                # Their statements are planned as the server has it.
                await connection.execute(_PLANNED_AS_EVER)
                await _take_part(participants, seconds, connection)
            except Exception as error:
                if connection.is_closed() or _is_the_servers(error):
                    raise
                raise ParticipantFailed(error) from error
        return rows


async def _take_part(participants: Sequence[Participant], seconds: float, connection: Connection) -> None:
    try:
        async with asyncio.timeout(seconds) as limit:
            for participant in participants:
                await participant(connection)
            if not connection.is_in_transaction():
                raise RuntimeError("a function staged with ctx.in_commit ended the transaction, which is not its own")
            await connection.execute(_CHECK_NOW)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TimeoutError(f"what was staged with ctx.in_commit took longer than {seconds:g} s") from error
    except asyncio.CancelledError as error:
        if _cancelled_from_outside():
            raise
        raise RuntimeError("a function staged with ctx.in_commit awaited something that was cancelled") from error
    except asyncpg.InFailedSQLTransactionError as error:
        raise RuntimeError(
            "a statement failed within ctx.in_commit and the function went on, so nothing can be committed; "
            "to go on after an error, run the statement in a savepoint: async with connection.transaction()"
        ) from error


def _cancelled_from_outside() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _is_the_servers(error: Exception) -> bool:
    # A participant may raise an OSError or TimeoutError of its own, which says nothing of the connection.
    return isinstance(error, asyncpg.PostgresError) and (is_about_connection(error) or is_overtaken(error))


async def submit_in(connection: Any, jobs: Sequence[NewJob], *, name: str) -> list[SubmitAnswer]:
    """Accept jobs in the transaction that a caller has open on a connection to the same database.

    Nothing of it is true, or may be published, before that transaction commits. Raises `ConfigurationError` where
    there is no open transaction, or the connection leads elsewhere.
    """
    submit.check(jobs)
    statement, arguments = submit.statement(jobs)
    return submit.answers(jobs, await _fetch(connection, statement, arguments, name))


async def cancel_in(connection: Any, ids: Sequence[str], by: str, reason: str, *, name: str) -> list[Cancellation]:
    """Cancel jobs in the transaction that a caller has open on a connection to the same database.

    Nothing of it is true before that transaction commits. Raises `ConfigurationError` as `submit_in` does.
    """
    return cancel.answers(ids, await _fetch(connection, cancel.CANCEL, cancel.arguments(ids, by, reason), name))


async def _fetch(connection: Any, statement: str, arguments: Sequence[Any], name: str) -> Sequence[Mapping[str, Any]]:
    """Run a statement in the transaction that is open on a connection, whichever driver it is of."""
    if isinstance(connection, ForeignConnection):
        with explained_by_code(name):
            return await connection.fetch_rows(foreign.statement(statement), arguments)
    _check_open(connection)
    with explained(name):
        rows: Sequence[Mapping[str, Any]] = await connection.fetch(statement, *arguments)
    return rows


def _check_open(connection: Any) -> None:
    if not hasattr(connection, "is_in_transaction"):
        raise ConfigurationError(f"a transaction of your own needs an asyncpg connection, not {connection!r:.80}")
    if not connection.is_in_transaction():
        raise ConfigurationError("this connection is in no transaction: begin one, call this in it, then commit it")
