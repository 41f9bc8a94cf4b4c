"""Connections that know the arrays of PostgreSQL's own types by heart.

The driver asks the server what an array is, on each connection anew: six round trips before the first job that a
connection opens, and three before its first commit. On a slow link those are seconds for which that job's key waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

# Each type's array: its number, the number of its element, and its name. They are the same in all versions.
_ARRAYS = (
    (1000, 16, "bool"),
    (1001, 17, "bytea"),
    (1005, 21, "int2"),
    (1007, 23, "int4"),
    (1016, 20, "int8"),
    (1022, 701, "float8"),
)
_KNOWN = {
    array: {
        "oid": array,
        "ns": "pg_catalog",
        "name": f"_{name}",
        "kind": b"b",
        "basetype": None,
        "elemtype": element,
        "elemdelim": ",",
        "range_subtype": None,
        "attrtypoids": None,
        "attrnames": None,
    }
    for array, element, name in _ARRAYS
}
# What the driver looks at of the statement with which it asked: there was none that it has to make up for.
_NOT_ASKED = SimpleNamespace(name="none")


class KnownTypesConnection(Connection):
    """A connection that asks the server only about types that are not PostgreSQL's own."""

    async def _introspect_types(self, typeoids: Iterable[int], timeout: float | None) -> Any:
        wanted = list(typeoids)
        if all(oid in _KNOWN for oid in wanted):
            return [_KNOWN[oid] for oid in wanted], _NOT_ASKED
        return await super()._introspect_types(wanted, timeout)  # type: ignore[misc]  # the stubs do not have it

    async def know(self, statement: str) -> None:
        """Have a statement prepared before it is first needed: that is a round trip.

        The driver leaves it to the next query to say that this one is over: until then the server's time limit for a
        statement runs.
        """
        await self._get_statement(statement, None)  # type: ignore[attr-defined]  # the stubs do not have it
