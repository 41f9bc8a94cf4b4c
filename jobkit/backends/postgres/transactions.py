"""Users' own statements and jobkit's in one transaction: theirs in ours at a commit, or ours in theirs at a submit.

It promises that both change together or not at all. It does not promise that a participant runs once: where the
transaction was rolled back because of another one it runs again, in a new transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg

from jobkit.backends.postgres import accept, commit
from jobkit.backends.postgres.faults import explained, is_about_connection, is_overtaken
from jobkit.backends.postgres.sessions import Sessions
from jobkit.errors import ConfigurationError
from jobkit.ports.store import Accepted, Committed, Conflict, Duplicate, Known, NewJob, Refused

if TYPE_CHECKING:
    from jobkit.backends.postgres.sessions import Connection

# Gets an asyncpg connection that is in the commit's transaction, which it must not end.
Participant = Callable[[Any], Awaitable[None]]


class _ParticipantFailed(Exception):
    """Carries a participant's error past the translation of ours."""

    def __init__(self, error: Exception) -> None:
        self.error = error


async def commit_with(
    sessions: Sessions, ending: commit.Ending, participants: Sequence[Participant]
) -> Committed | Duplicate | Refused:
    """Commit one job and have the participants write in the same transaction, once the mark is verified.

    They do not run where the job is not committed here and now. What one of them raises ends the transaction, so that
    nothing is written, and is raised.
    """
    try:
        rows = await sessions.run(partial(_commit, ending, participants), aside=True)
    except _ParticipantFailed as failed:
        raise failed.error from failed.error.__cause__
    return commit.answers([ending], rows)[0]


async def _commit(ending: commit.Ending, participants: Sequence[Participant], connection: Connection) -> list[Any]:
    async with connection.transaction():
        rows = await connection.fetch(commit.COMMIT, *commit.arguments([ending]))
        if rows[0]["answer"] == "committed":
            for participant in participants:
                try:
                    await participant(connection)
                except Exception as error:
                    if connection.is_closed() or _is_the_servers(error):
                        raise
                    raise _ParticipantFailed(error) from error
        return rows


def _is_the_servers(error: Exception) -> bool:
    # A participant may raise an OSError or TimeoutError of its own, which says nothing of the connection.
    return isinstance(error, asyncpg.PostgresError) and (is_about_connection(error) or is_overtaken(error))


async def submit_in(connection: Any, jobs: Sequence[NewJob], *, name: str) -> list[Accepted | Known | Conflict]:
    """Accept jobs in the transaction that a caller has open on an asyncpg connection to the same database.

    Nothing of it is true, or may be published, before that transaction commits. Raises `ConfigurationError` where
    there is no open transaction, or the connection leads elsewhere.
    """
    if not hasattr(connection, "is_in_transaction"):
        raise ConfigurationError(f"submitting in a transaction takes an asyncpg connection, not {connection!r:.80}")
    if not connection.is_in_transaction():
        raise ConfigurationError("this connection is in no transaction: begin one, submit in it, then commit it")
    accept.check(jobs)
    with explained(name):
        rows = await connection.fetch(accept.SUBMIT, *accept.arguments(jobs))
    return accept.answers(jobs, rows)
