"""One function of the database for each of several calls, in one statement: one round trip, and one connection.

On a slow link a worker that hands over has dozens of jobs to set aside. One by one they would fill all connections for
seconds, and nobody leads meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobkit.backends.postgres.sanitize import fit_all

# What a function is told of one job, in its order: the job's id, type and key come first.
Arguments = tuple[Any, ...]


def statement(function: str, types: Sequence[str], *, before: str = "") -> str:
    """Return the statement that calls a function, whose arguments have these types, for each of several jobs.

    They are taken in the order of their keys, in which everybody locks these, and those of one key as they were asked.
    A function that locks more than its job's key, or not that first, needs all locks `before`: from a function that is
    told ids, types and keys.
    """
    names = [f"argument_{number}" for number in range(1, 1 + len(types))]
    columns = ", ".join(f"${number}::{type}[]" for number, type in enumerate(types, start=1))
    given = ", ".join(names)
    _, type, key, *_ = names
    first = f"jobkit.{before}($1::text[], $2::text[], $3::text[]) AS locked, " if before else ""
    return (
        f"SELECT g.place, jobkit.{function}({', '.join(f'g.{name}' for name in names)}) AS answer "  # noqa: S608  (names of ours)
        f"FROM {first}(SELECT * FROM unnest({columns}) WITH ORDINALITY AS u ({given}, place) "
        f'ORDER BY u.{type} COLLATE "C", u.{key} COLLATE "C", u.place) g'
    )


def columns(calls: Sequence[Arguments]) -> list[list[Any]]:
    """Return the arguments of such a statement."""
    return [list(column) for column in zip(*map(fit_all, calls), strict=True)]


def answers(rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the answers in the order of the calls."""
    return [row["answer"] for row in sorted(rows, key=lambda row: int(row["place"]))]
