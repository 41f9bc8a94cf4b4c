"""Jobs in transactions of other drivers, from a program without an event loop: psycopg 3, SQLAlchemy, Django."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psycopg
import pytest
import sqlalchemy
from psycopg.rows import dict_row
from sqlalchemy.orm import Session

from jobkit import Client, SyncClient
from jobkit.backends.postgres.foreign import statement
from jobkit.backends.postgres.install_functions import known_functions
from jobkit.backends.registry import open_planes
from jobkit.errors import ConfigurationError, JobConflict, JobNotFound
from jobkit.plugin.registry import Registry
from jobkit.settings import Settings
from tests.steps import Step, loose, step

pytestmark = pytest.mark.servers("postgres")


@pytest.fixture
def client(url: str, tmp_path: Path) -> Iterator[SyncClient]:
    """A client whose store is a database of the run's server; the rest is embedded."""
    embedded = dict.fromkeys(("broker_url", "coordinator_url"), f"sqlite:///{tmp_path}/jobkit.db")

    @asynccontextmanager
    async def opened() -> AsyncIterator[Client]:
        settings = Settings.model_validate({"store_url": url, "blobs_url": f"file:{tmp_path}/blobs", **embedded})
        async with open_planes(settings) as planes:
            yield Client(planes, Registry([step, loose]), settings)

    with SyncClient(open=opened) as client:
        yield client


def there(client: SyncClient, *ids: str) -> list[bool]:
    def known(id: str) -> bool:
        try:
            client.status(id)
        except JobNotFound:
            return False
        return True

    return [known(id) for id in ids]


def test_a_job_is_there_with_the_commit_of_psycopg_and_gone_with_its_rollback(client: SyncClient, url: str) -> None:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        with connection.transaction():
            first = client.submit("step", Step(number=1), id="a", connection=connection)
            assert (first.sequence, first.published) == (1, False)
            # Nobody else sees it yet, and what it is part of is this transaction.
            assert there(client, "a") == [False]
        with connection.transaction(force_rollback=True):
            step.submit(client, Step(number=2), id="b", connection=connection)
        with connection.transaction():
            many = [client.job("loose", Step(on=on), id=on, unique="u") for on in ("c", "d")]
            kept = client.submit_many(many, connection=connection)
            assert [(one.id, one.kept) for one in kept] == [("c", False), ("c", True)]
            assert client.cancel("a", connection=connection, by="ann").cancelled
            with pytest.raises(JobConflict):
                client.submit("loose", Step(on="other"), id="c", connection=connection)
    assert there(client, "a", "b", "c", "d") == [True, False, True, False]
    assert client.status("a").state == "cancelled"


def test_a_job_is_part_of_a_session_or_connection_of_sqlalchemy(client: SyncClient, url: str) -> None:
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with Session(engine) as session:
        loose.submit(client, Step(), id="a", connection=session)
        session.rollback()
        loose.submit(client, Step(), id="b", connection=session)
        session.commit()
    with engine.begin() as connection:
        loose.submit(client, Step(), id="c", connection=connection)
    engine.dispose()
    assert there(client, "a", "b", "c") == [False, True, True]


def test_the_connection_is_used_in_the_thread_of_the_caller_only(client: SyncClient, url: str) -> None:
    used = []

    class Watched(psycopg.Connection[tuple[object, ...]]):
        def cursor(self, *args, **kwargs):  # type: ignore[no-untyped-def, override]
            used.append(threading.current_thread())
            return super().cursor(*args, **kwargs)

    with Watched.connect(url) as connection:
        client.submit("loose", Step(), connection=connection)
    assert set(used) == {threading.current_thread()}


async def test_a_connection_that_is_none_of_these_or_in_no_transaction_is_refused(client: SyncClient, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        with pytest.raises(ConfigurationError, match=r"in no transaction: begin one \(with conn"):
            client.submit("loose", Step(), connection=connection)
        with pytest.raises(ConfigurationError, match="needs a psycopg 3 connection"):
            client.submit("loose", Step(), connection=object())
    theirs = await asyncpg.connect(url)
    with pytest.raises(ConfigurationError, match="needs a psycopg 3 connection"):
        client.submit("loose", Step(), connection=theirs)
    await theirs.close()


def test_a_connection_that_leads_elsewhere_is_refused(client: SyncClient, url: str) -> None:
    elsewhere = url.rpartition("/")[0] + "/postgres"
    with psycopg.connect(elsewhere) as connection, pytest.raises(ConfigurationError, match="jobkit migrate"):
        client.submit("loose", Step(), connection=connection)


def test_every_argument_of_a_statement_says_its_kind() -> None:
    assert statement("SELECT * FROM jobkit.cancel_jobs($1, $2, $3, $4, $5)") == (
        "SELECT * FROM jobkit.cancel_jobs(%s::text[], %s::text, %s::text, %s::integer, %s::text[])"
    )
    # Kinds are told apart by the commas between parameters, so no default may have one.
    assert [one for one in known_functions().signatures if "DEFAULT ARRAY" in one] == []
