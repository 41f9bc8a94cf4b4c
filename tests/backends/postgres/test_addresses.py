"""URLs: what they may be, and that no password gets out of one."""

from __future__ import annotations

import traceback

import pytest

from jobkit.backends.postgres.address import parse_address
from jobkit.backends.postgres.pool import ConnectionPool
from jobkit.errors import ConfigurationError
from tests.backends.postgres.conftest import opened

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://u:p@db.example:5433/jobs", "PostgreSQL at db.example:5433/jobs"),
        ("postgres://db.example/jobs?sslmode=require", "PostgreSQL at db.example/jobs"),
        ("postgresql://u:p@one:1,two:2/jobs?target_session_attrs=read-write", "PostgreSQL at one:1,two:2/jobs"),
        ("postgresql:///jobs?host=/run/postgresql", "PostgreSQL at /run/postgresql/jobs"),
        ("postgresql://", "PostgreSQL at the default host/the default database"),
    ],
)
def test_an_address_is_named_without_its_secrets(url: str, name: str) -> None:
    address = parse_address(url)
    assert address.name == name
    assert url not in repr(address)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{SECRET}@host:port/jobs",
        f"postgresql://u:{SECRET}@@host/jobs",
        f"postgresql://u:x@{SECRET}@host/jobs",
        f"postgresql://u:{SECRET}#x@host/jobs",
        f"postgresql://u:{SECRET}/x@host/jobs",
        f"postgresql://u:{SECRET}@host/jobs?{SECRET}",
        f"postgresql:u:{SECRET}@host/jobs",
        f"postgresql://u:{SECRET}@[host/jobs",
    ],
)
async def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        async with opened(url):
            pass
    assert SECRET not in "".join(traceback.format_exception(caught.value))


async def test_a_setting_that_the_driver_refuses_is_a_configuration_error_without_the_password() -> None:
    address = parse_address(f"postgresql://u:{SECRET}@127.0.0.1/jobs?sslmode={SECRET}")
    with pytest.raises(ConfigurationError) as caught:
        await (await ConnectionPool(address).open()).run(_nothing)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


async def _nothing(_connection: object) -> None:
    raise AssertionError("there is no connection")
