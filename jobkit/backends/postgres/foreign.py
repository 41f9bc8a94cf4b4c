"""The store's statements for other drivers than its own: those that send text, as psycopg and what is built on it."""

from __future__ import annotations

import re
from functools import cache

from jobkit.backends.postgres.install_functions import known_functions

_CALL = re.compile(r"jobkit\.(\w+)\([^)]*\)")


@cache
def statement(sql: str) -> str:
    """Return a call of one of our functions with a `%s` for each argument, of the kind that the function takes.

    Without the kind, text does not tell an empty list of one kind from that of another.
    """
    found = _CALL.search(sql)
    assert found is not None  # noqa: S101  (it is a call)
    marks = ", ".join(f"%s::{kind}" for kind in _kinds_of(found[1]))
    return f"{sql[: found.start()]}jobkit.{found[1]}({marks}){sql[found.end() :]}"


def _kinds_of(function: str) -> list[str]:
    """Return the types of a function's parameters."""
    (signature,) = (one for one in known_functions().signatures if one.startswith(f"{function}("))
    parameters = signature.partition("(")[2].partition(")")[0]
    return [parameter.strip().partition(" ")[2] for parameter in parameters.split(",")]
