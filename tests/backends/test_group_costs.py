"""The end of a member costs the same however many its group has; a job of no group pays for none of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from jobkit.backends.sqlite.commit import commit_job
from jobkit.backends.sqlite.open import open_job
from jobkit.backends.sqlite.schema import ensure_schema
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.backends.sqlite.unique import submit_all
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.plugin.job_groups import closing, joined
from jobkit.ports.store import Effects, NewJob


def _job(id: str) -> NewJob:
    return NewJob(Envelope(id, "t", b"{}", key=id), False)


@contextmanager
def _database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        ensure_schema(connection, ":memory:")
        yield connection
    finally:
        connection.close()


def _cost(connection: sqlite3.Connection, job: NewJob) -> tuple[int, int]:
    """Return how many statements the job's commit runs, and about how many steps of the database's machine."""
    transaction = Transaction(connection, 1.0, 1.0)
    fence = Fence(1, "n", "w")
    open_job(transaction, job.envelope, fence)
    statements: list[str] = []
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_trace_callback(statements.append)
    connection.set_progress_handler(step, 10)
    commit_job(transaction, job.envelope, fence, Effects())
    connection.set_progress_handler(None, 0)
    connection.set_trace_callback(None)
    return len([one for one in statements if not one.startswith("--")]), steps


def _member_cost(members: int) -> tuple[int, int]:
    with _database() as connection:
        jobs = [_job(f"m{number}") for number in range(members)]
        group = [closing(_job("then"), members, "wait"), *joined(jobs, "then")]
        submit_all(Transaction(connection, 1.0, 1.0), group)
        return _cost(connection, jobs[members // 2])


def test_a_member_of_ten_costs_what_one_of_thousands_does() -> None:
    statements, steps = _member_cost(10)
    more_statements, more_steps = _member_cost(2_000)
    assert more_statements == statements
    assert more_steps == pytest.approx(steps, abs=10)


def test_a_job_of_no_group_runs_one_statement_less_than_a_member() -> None:
    with _database() as connection:
        job = _job("alone")
        submit_all(Transaction(connection, 1.0, 1.0), [job])
        alone, _ = _cost(connection, job)
    assert _member_cost(10)[0] == alone + 1
