"""What a connection knows of types by itself, and that it is what the server would have said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from jobkit.backends.postgres import commit, outbox
from jobkit.backends.postgres import open as opening
from jobkit.backends.postgres.known_types import KnownTypesConnection

_VALUES = "SELECT $1::bool[], $2::bytea[], $3::int2[], $4::int4[], $5::int8[], $6::float8[], $7::text[]"
_GIVEN: list[list[Any]] = [[True, None], [b"\0\xff", b""], [-1], [], [2**62], [0.5, float("inf")], ["a", 'b"{,']]


@pytest.fixture
async def asked() -> list[str]:
    """What the connection asks the server."""
    return []


@pytest.fixture
async def connection(url: str, asked: list[str]) -> AsyncIterator[KnownTypesConnection]:
    opened: KnownTypesConnection = await asyncpg.connect(url, connection_class=KnownTypesConnection)
    opened.add_query_logger(lambda query: asked.append(query.query))
    yield opened
    await opened.close()


async def _told() -> None:
    """Wait until the driver has told of what it asked, which it does in the loop's next turn."""
    await asyncio.sleep(0)


async def test_arrays_go_there_and_back_without_a_question_about_them(
    connection: KnownTypesConnection, asked: list[str], url: str
) -> None:
    assert list((await connection.fetch(_VALUES, *_GIVEN))[0]) == _GIVEN
    await _told()
    assert asked == [_VALUES]
    plain = await asyncpg.connect(url)
    try:
        assert list((await plain.fetch(_VALUES, *_GIVEN))[0]) == _GIVEN
    finally:
        await plain.close()


@pytest.mark.parametrize("statement", [opening.OPEN, commit.COMMIT, outbox.PUBLISHED])
async def test_the_way_of_a_job_asks_about_no_type(
    connection: KnownTypesConnection, asked: list[str], statement: str
) -> None:
    await connection.prepare(statement)
    await _told()
    assert asked == []


async def test_about_any_other_type_the_server_is_asked(connection: KnownTypesConnection, asked: list[str]) -> None:
    assert await connection.fetchval("SELECT ARRAY['x']::name[]") == ["x"]
    await _told()
    assert len(asked) > 1
