"""Middleware around attempts and submits: its order, what it may do, and what is refused in words."""

import sys
import types
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from jobkit import Context, Payload, Reject, around_attempt, around_submit, hook, processor
from jobkit.backends.registry import memory_planes
from jobkit.client import Client
from jobkit.errors import ConfigurationError, EffectInvalid
from jobkit.plugin.around import Around
from jobkit.plugin.hooks import CommittedEvent, DeadEvent, FailedEvent
from jobkit.plugin.loading import load_plugins
from jobkit.plugin.middleware import AroundAttempt
from jobkit.plugin.registry import Registry
from jobkit.ports.store import NewJob
from jobkit.runner.invocation import calls_of
from jobkit.testing import run_job
from tests.steps import Step, step
from tests.virtual_site import settings_of

steps: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    steps.clear()


def _noting(name: str) -> AroundAttempt:
    @around_attempt
    async def noting(job: Any, ctx: Context, call_next: Callable[[], Awaitable[Any]]) -> Any:
        steps.append(f"{name} before")
        try:
            return await call_next()
        finally:
            steps.append(f"{name} after")

    return noting


class Job(Payload):
    """What to do."""

    what: str = "work"


@processor("job", key=lambda job: job.what, middleware=[_noting("its own")])
async def work(job: Job, ctx: Context) -> str:
    steps.append(job.what)
    if job.what == "reject":
        raise Reject("no")
    return job.what


async def test_the_first_is_outermost_and_those_of_the_type_are_inside() -> None:
    outcome = await run_job(work, Job(), middleware=[_noting("a"), _noting("b")])
    assert outcome.result == "work"
    assert steps == ["a before", "b before", "its own before", "work", "its own after", "b after", "a after"]


async def test_it_sees_what_the_processor_raises_and_passes_it_on() -> None:
    with pytest.raises(Reject):
        await run_job(work, Job(what="reject"), middleware=[_noting("a")])
    assert steps[-1] == "a after"


class Seen(BaseModel):
    """A record."""

    by: str


async def test_what_it_writes_is_committed_with_the_job_and_its_result_is_checked_like_any() -> None:
    @around_attempt
    async def recording(job: Job, ctx: Context, call_next: Callable[[], Awaitable[Any]]) -> Any:
        result = await call_next()
        ctx.record("seen", Seen(by="middleware"))
        return result.upper()

    @around_attempt
    async def wrong(job: Job, ctx: Context, call_next: Callable[[], Awaitable[Any]]) -> Any:
        await call_next()
        return object()

    outcome = await run_job(work, Job(), middleware=[recording])
    assert (outcome.result, outcome.records) == ("WORK", {"seen": {"by": "middleware"}})
    with pytest.raises(EffectInvalid):
        await run_job(work, Job(), middleware=[wrong])


async def test_it_may_answer_without_the_processor_but_not_run_it_twice() -> None:
    @around_attempt
    async def cached(job: Job, ctx: Context, call_next: Callable[[], Awaitable[Any]]) -> Any:
        return "from a cache"

    @around_attempt
    async def twice(job: Job, ctx: Context, call_next: Callable[[], Awaitable[Any]]) -> Any:
        await call_next()
        return await call_next()

    assert (await run_job(work, Job(), middleware=[cached])).result == "from a cache"
    assert steps == []
    with pytest.raises(RuntimeError, match=r"middleware .*twice awaits call_next\(\) again"):
        await run_job(work, Job(), middleware=[twice])
    assert steps.count("work") == 1


def test_without_middleware_and_resources_it_is_the_function_itself_that_is_called() -> None:
    assert calls_of([step], {}) == {"step": step.function}


async def _client_within(*around: Any) -> tuple[Client, Any]:
    manager = memory_planes()
    planes = await manager.__aenter__()
    return Client(planes, Registry([step], around=Around.of(around)), settings_of()), manager


def _submitting(name: str) -> Any:
    @around_submit
    async def submitting(jobs: Sequence[NewJob], call_next: Callable[[], Awaitable[None]]) -> None:
        steps.append(f"{name} {len(jobs)}")
        await call_next()
        steps.append(f"{name} accepted")

    return submitting


async def test_submits_run_within_theirs() -> None:
    client, manager = await _client_within(_submitting("a"), _submitting("b"))
    submitted = await client.submit("step", Step())
    assert (await client.status(submitted.id)).state == "queued"
    await client.submit_many([client.job("step", Step()), client.job("step", Step())])
    one, many = ["a 1", "b 1", "b accepted", "a accepted"], ["a 2", "b 2", "b accepted", "a accepted"]
    assert steps == one + many
    await manager.__aexit__(None, None, None)


async def test_one_that_refuses_has_nothing_accepted_and_one_that_forgets_is_told() -> None:
    @around_submit
    async def refusing(jobs: Sequence[NewJob], call_next: Callable[[], Awaitable[None]]) -> None:
        raise PermissionError("not today")

    @around_submit
    async def forgetful(jobs: Sequence[NewJob], call_next: Callable[[], Awaitable[None]]) -> None: ...

    @around_submit
    async def eager(jobs: Sequence[NewJob], call_next: Callable[[], Awaitable[None]]) -> None:
        await call_next()
        await call_next()

    for wrong, error in ((refusing, PermissionError), (forgetful, RuntimeError)):
        client, manager = await _client_within(wrong)
        with pytest.raises(error):
            await client.submit("step", Step(), id="j")
        assert await manager_counts(client) == 0
        await manager.__aexit__(None, None, None)
    client, manager = await _client_within(eager)
    with pytest.raises(RuntimeError, match="submitted once"):
        await client.submit("step", Step(), id="j")
    assert await manager_counts(client) == 1
    await manager.__aexit__(None, None, None)


async def manager_counts(client: Client) -> int:
    """How many jobs the store has."""
    return sum((await client._planes.inspection.counts()).jobs.values())


async def _two(job: Any, call_next: Any) -> None: ...
def _sync(job: Any, ctx: Any, call_next: Any) -> None: ...
async def _no_event(event: int) -> None: ...
async def _one_event(event: DeadEvent) -> None: ...
async def _two_events(event: DeadEvent | FailedEvent) -> None: ...


def test_what_cannot_be_called_is_refused_in_words() -> None:
    with pytest.raises(ConfigurationError, match=r"_two must take \(job, ctx, call_next\)"):
        around_attempt(_two)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="around_attempt must decorate an 'async def' function"):
        around_attempt(_sync)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="around_submit must decorate"):
        around_submit(3)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="must take one event, annotated as one or several of CommittedEvent"):
        hook(_no_event)
    with pytest.raises(ConfigurationError, match="hook must decorate an 'async def'"):
        hook(_sync)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="middleware must be a list of functions declared with"):
        processor("t", key=lambda _: "k", middleware=[_two])  # type: ignore[list-item]


def test_a_hook_hears_of_what_its_annotation_names() -> None:
    assert hook(_one_event).events == (DeadEvent,)
    assert hook(_two_events).events == (DeadEvent, FailedEvent)
    assert CommittedEvent not in hook(_two_events).events


@pytest.fixture
def module() -> Iterator[types.ModuleType]:
    """An importable module."""
    made = types.ModuleType("around_under_test")
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


def test_modules_are_named_by_a_setting_in_their_order(module: types.ModuleType) -> None:
    first, second, told, submitting = _noting("a"), _noting("b"), hook(_one_event), _submitting("a")
    module.second, module.told, module.first, module.sub = second, told, first, submitting  # type: ignore[attr-defined]
    around = load_plugins(middleware=["around_under_test:first", "around_under_test"]).around
    assert (around.attempts, around.submits, around.hooks) == ((first, second), (submitting,), (told,))
    with pytest.raises(ConfigurationError, match="JOBKIT_MIDDLEWARE: 'around_under_test:nix' is not middleware, nor a"):
        load_plugins(middleware=["around_under_test:nix"])
    with pytest.raises(ConfigurationError, match=r"module 'tests\.steps' has no middleware and no hooks"):
        load_plugins(middleware=["tests.steps"])
    assert settings_of(middleware="a.b, c:d").middleware == ("a.b", "c:d")
