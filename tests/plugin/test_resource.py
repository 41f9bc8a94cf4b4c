"""Declaring resources, and asking for them: what works, and what is refused in words that help."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, Protocol

import pytest
from pydantic_settings import BaseSettings

from jobkit import Context, Payload, processor, resource
from jobkit.errors import ConfigurationError, PayloadInvalid
from jobkit.plugin.registry import Registry
from jobkit.plugin.resource import in_order
from jobkit.testing import run_job


class Job(Payload):
    """Which key."""

    key: str = "k"


class PoolSettings(BaseSettings):
    """Required, so that a test sees whether anybody asked for it."""

    pool_under_test_url: str


class Pool:
    """What is opened."""

    def __init__(self, url: str) -> None:
        self.url = url


class Named(Protocol):
    """What a pool is also."""

    url: str


@resource
async def pool(settings: PoolSettings) -> AsyncIterator[Pool]:
    yield Pool(settings.pool_under_test_url)


@resource
def table(pool: Annotated[Named, pool]) -> Iterator[str]:
    yield f"table in {pool.url}"


@resource
def model() -> list[int]:
    return [1, 2]


async def _answers(value: Any) -> None: ...


@processor("read", key=lambda job: job.key)
async def read(job: Job, ctx: Context, db: Annotated[Pool, pool], *, rows: Annotated[str, table]) -> str:
    return f"{rows}, {db.url}"


@processor("guess", key=lambda job: job.key)
async def guess(job: Job, ctx: Context, numbers: Annotated[list[int], model]) -> int:
    return sum(numbers)


def test_a_resource_is_read_from_its_signature() -> None:
    assert (pool.name, pool.gives, dict(pool.settings), dict(pool.needs)) == (
        "pool",
        Pool,
        {"settings": PoolSettings},
        {},
    )
    assert dict(table.needs) == {"pool": pool}
    assert dict(read.resources) == {"db": pool, "rows": table}


def test_what_has_to_be_opened_comes_after_what_it_needs_and_each_once() -> None:
    assert in_order([table, pool, model]) == (pool, table, model)
    assert in_order([table, model], given=[table]) == (model,)


def test_only_what_the_types_need_is_opened_and_only_their_settings_are_asked_for() -> None:
    registry = Registry([read, guess])
    assert registry.resources(["guess"]) == (model,)
    assert registry.settings(["guess"]) == {}
    with pytest.raises(ConfigurationError, match="POOL_UNDER_TEST_URL: Field required"):
        registry.settings(["read"])


def test_two_resources_of_one_name_are_refused() -> None:
    async def pool() -> int:
        return 1

    with pytest.raises(ConfigurationError, match="two resources are called 'pool'"):
        in_order([resource(pool), table])


async def test_a_job_is_given_what_its_parameters_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POOL_UNDER_TEST_URL", "here")
    assert (await run_job(read, Job())).result == "table in here, here"
    assert (await run_job(guess, Job())).result == 3


async def test_a_test_replaces_resources_and_what_they_need_is_not_opened() -> None:
    assert (await run_job(read, Job(), resources={pool: Pool("fake")})).result == "table in fake, fake"
    assert (await run_job(read, Job(), resources={pool: Pool("fake"), table: "none"})).result == "none, fake"


async def test_a_processor_is_still_callable_as_its_function() -> None:
    assert await read(Job(), None, db=Pool("x"), rows="y") == "y, x"  # type: ignore[arg-type]


def _no_return():  # type: ignore[no-untyped-def]
    yield 1


async def _bare_iterator() -> AsyncIterator:  # type: ignore[type-arg]
    yield 1


async def _plain_parameter(size: int) -> int:
    return size


def test_a_health_check_is_a_coroutine_function() -> None:
    assert resource(health=_answers)(_plain_value).health is _answers
    with pytest.raises(ConfigurationError, match="health must be an 'async def'"):
        resource(health=print)(_plain_value)  # type: ignore[arg-type]


def _plain_value() -> int:
    return 1


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (_no_return, "resource '_no_return' must say what it opens: '-> Pool'"),
        (_bare_iterator, "must say what it yields: '-> AsyncIterator"),
        (_plain_parameter, "parameter 'size' must be settings .* or a resource: Annotated"),
        (3, "resource must decorate a function"),
    ],
)
def test_a_resource_that_cannot_work_is_refused(function: Callable[..., Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        resource(function)


async def _extra(job: Job, ctx: Context, more: int) -> None: ...
async def _undecorated(job: Job, ctx: Context, db: Annotated[int, _plain_value]) -> None: ...
async def _another_type(job: Job, ctx: Context, db: Annotated[int, pool]) -> None: ...
async def _two(job: Job, ctx: Context, db: Annotated[Pool, pool, table]) -> None: ...
async def _positional(job: Job, ctx: Context, db: Annotated[Pool, pool], /) -> None: ...
async def _any_number(job: Job, ctx: Context, *more: Annotated[Pool, pool]) -> None: ...


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (_extra, "parameter 'more' must be a resource: Annotated"),
        (_undecorated, "_plain_value is a plain function: decorate it with @resource"),
        (_another_type, r"'db' is declared as int, but resource 'pool' \(.*pool\) opens Pool"),
        (_two, "'db' asks for 2 resources"),
        (_positional, "'db' cannot be given by its name"),
        (_any_number, "'more' cannot be given by its name"),
    ],
)
def test_a_processor_that_asks_wrongly_is_refused(function: Callable[..., Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=f"processor of job type 't': .*{problem}"):
        processor("t", key=lambda _: "k")(function)


async def test_an_invalid_payload_is_still_told_as_one() -> None:
    with pytest.raises(PayloadInvalid):
        guess.parse(b"{}x")
