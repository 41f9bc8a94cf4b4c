"""Whatever a processor does, its attempt ends in a way that names it: in a worker, and in a plugin's own test alike."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import anyio
import pytest
import structlog
from pydantic import BaseModel

from jobkit import Context, Result, RetryPolicy, processor
from jobkit.errors import AttemptOver, EffectInvalid
from jobkit.model.safe_text import ERROR_CHARACTERS
from jobkit.plugin.processor import Processor
from jobkit.testing import run_job
from tests.faults.doubles import before
from tests.runner.pipeline_bench import Bench, open_bench, receipt_of
from tests.steps import Step
from tests.virtual_site import in_virtual_time

_seen: ContextVar[str] = ContextVar("seen", default="nothing")


def _once(function: Callable[[Step, Context], Awaitable[Any]], **options: Any) -> Processor[Step, Any]:
    """Make a processor that is tried once."""

    async def processed(job: Step, ctx: Context) -> Any:
        return await function(job, ctx)

    return processor("loose", key=lambda job: job.on, retry=RetryPolicy(max_attempts=1), **options)(processed)


async def _dead(bench: Bench) -> str:
    """Run a job that ends in the dead letters after one failed attempt; return what is told of that."""
    assert receipt_of(await bench.run(await bench.job("loose"))) == "dead"
    (letter,) = await bench.planes.inspection.dead()
    (failure,) = letter.failures
    assert failure.attempt == 1
    return failure.error


# ---- what it raises ------------------------------------------------------------------------------------------------


class Mute(Exception):
    """An error that cannot be told."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


async def _mute(job: Step, ctx: Context) -> None:
    raise Mute


async def _exits(job: Step, ctx: Context) -> None:
    sys.exit(2)


async def _exits_in_a_thread(job: Step, ctx: Context) -> None:
    await asyncio.to_thread(sys.exit, "usage: plugin FILE")


async def _cancels_itself(job: Step, ctx: Context) -> None:
    raise asyncio.CancelledError


async def _half_a_letter(job: Step, ctx: Context) -> None:
    raise ValueError("\ud800 and \0")


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (_mute, "Mute: <Mute, whose text cannot be had: RuntimeError>"),
        (_exits, "RuntimeError: the processor raised SystemExit: 2, which is meant to end a program"),
        (_cancels_itself, "RuntimeError: the processor awaited something of its own that was cancelled"),
        (_half_a_letter, "ValueError: \\ud800 and \\0"),
    ],
)
@in_virtual_time
async def test_whatever_it_raises_is_a_failed_attempt(
    function: Callable[[Step, Context], Awaitable[Any]], error: str
) -> None:
    async with open_bench(_once(function)) as bench:
        assert await _dead(bench) == error
        assert bench.witness.lines("attempt failed, no more attempts")[0]["job"]


async def test_a_plugins_test_sees_the_same_as_a_worker() -> None:
    with pytest.raises(RuntimeError, match="raised SystemExit: usage"):
        await run_job(_once(_exits_in_a_thread), Step())


async def test_a_participant_that_exits_is_a_failed_attempt_too() -> None:
    async def stages(job: Step, ctx: Context) -> None:
        @ctx.in_commit
        async def exits(connection: Any) -> None:
            sys.exit(1)

    with pytest.raises(RuntimeError, match=r"a function staged with ctx\.in_commit raised SystemExit: 1"):
        await run_job(_once(stages), Step(), connection=object())


@in_virtual_time
async def test_a_message_of_megabytes_is_cut_in_the_log_as_in_the_store() -> None:
    async def chatty(job: Step, ctx: Context) -> None:
        raise ValueError("x" * 5_000_000)

    async with open_bench(_once(chatty)) as bench:
        assert len(await _dead(bench)) == ERROR_CHARACTERS
        for line in bench.witness.lines("attempt failed, no more attempts") + bench.witness.lines("dead-lettered"):
            assert len(str(line)) < 2 * ERROR_CHARACTERS


# ---- what it returns and stages ------------------------------------------------------------------------------------


class Width(Result):
    """A result."""

    width: int


class Height(Result):
    """Another one, with the same fields as far as anybody can see."""

    width: int


def _returns(annotation: Any, value: Any) -> Processor[Step, Any]:
    async def returning(job: Step, ctx: Context) -> Any:
        return value

    returning.__annotations__["return"] = annotation
    return processor("loose", key=lambda job: job.on, retry=RetryPolicy(max_attempts=1))(returning)


@pytest.mark.parametrize(
    ("annotation", "value", "problem"),
    [
        (Width, Height(width=1), "result is a Height and reads back as a Width"),
        (Width, Width.model_construct(width="wide"), "result.width is written as"),
        (int, "5", "result is '5' and reads back as 5"),
        (float, float("nan"), "result is nan, which JSON cannot say"),
        (dict[str, float], {"a": float("inf")}, "result.a is inf, which JSON cannot say"),
        (Any, {"a": [float("nan")]}, "result.a.0 is nan, which JSON cannot say"),
        (Any, {"n": 10**5_000}, "number of more than 300 digits"),
        (int, -(10**300), "result is, or contains, a number of more than 300 digits"),
        (type(None), 5, "result is written as something that does not read back: Input should be null"),
        (Any, object(), "result cannot be written as JSON"),
        (str, "x" * 9_000_000, "put large data into a blob"),
    ],
)
@in_virtual_time
async def test_a_result_that_is_not_the_declared_one_never_commits(annotation: Any, value: Any, problem: str) -> None:
    declared = _returns(annotation, value)
    async with open_bench(declared) as bench:
        error = await _dead(bench)
        assert error.startswith("EffectInvalid: the result of type 'loose' is not kept as it is: ")
        assert problem in error
    with pytest.raises(EffectInvalid):
        declared.dump_result(value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [(int, 10**299), (float, 3), (Any, (1, {"a": {2}})), (str, "9" * 400 + "NaN"), (Width, Width(width=10**20))],
)
async def test_a_result_is_what_reads_back(annotation: Any, value: Any) -> None:
    outcome = await run_job(_returns(annotation, value), Step())
    assert outcome.record.result is not None
    assert outcome.result == ([1, {"a": [2]}] if annotation is Any else value)


class Odd(BaseModel):
    """Something that does not read back."""

    ratio: float


async def _names_a_record_with_nul(job: Step, ctx: Context) -> None:
    ctx.record("a\0b", 1)


async def _names_a_record_at_length(job: Step, ctx: Context) -> None:
    ctx.record("x" * 201, 1)


async def _names_a_kind_with_half_a_letter(job: Step, ctx: Context) -> None:
    ctx.append("\ud800", {})


async def _appends_half_a_letter(job: Step, ctx: Context) -> None:
    ctx.append("entry", {"text": "\ud800"})


async def _records_infinity(job: Step, ctx: Context) -> None:
    ctx.record("odd", Odd(ratio=float("inf")))


async def _writes_too_much(job: Step, ctx: Context) -> None:
    for number in range(5):
        ctx.record(str(number), "x" * 8_000_000)


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (_names_a_record_with_nul, "the name of a record must be without NUL"),
        (_names_a_record_at_length, "the name of a record must be 1 to 200 bytes"),
        (_names_a_kind_with_half_a_letter, "the kind of a log entry must be valid Unicode"),
        (_appends_half_a_letter, "log entry 'entry'.text is not valid Unicode"),
        (_records_infinity, "record 'odd'.ratio is inf, which JSON cannot say"),
        (_writes_too_much, "put large data into blobs"),
    ],
)
@in_virtual_time
async def test_what_no_store_can_keep_is_a_failed_attempt_that_says_so(
    function: Callable[[Step, Context], Awaitable[Any]], problem: str
) -> None:
    async with open_bench(_once(function)) as bench:
        error = await _dead(bench)
        assert error.startswith("EffectInvalid: ")
        assert problem in error


@in_virtual_time
async def test_what_a_store_refuses_all_the_same_is_a_failed_attempt_too() -> None:
    async def ordinary(job: Step, ctx: Context) -> None: ...

    async def refuses() -> None:
        raise ValueError("value too long for this store")

    async with open_bench(_once(ordinary)) as bench:
        bench.faults.always("store.commit", before(refuses))
        assert await _dead(bench) == "ValueError: value too long for this store"
        assert bench.faults.calls["store.commit"] == 1


# ---- where it ends -------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_context_refuses_what_comes_after_its_attempt() -> None:
    """single-effect: it was accepted, and lost."""
    late: list[Exception] = []
    tasks: list[asyncio.Task[None]] = []

    async def writes_late(ctx: Context, folder: Any) -> None:
        await anyio.sleep(5)
        writes: list[Callable[[], Any]] = [
            lambda: ctx.append("late", {}),
            lambda: ctx.record("late", 1),
            lambda: ctx.submit("loose", Step()),
            lambda: ctx.in_commit(_participant),
        ]
        for write in writes:
            with pytest.raises(AttemptOver) as refused:
                write()
            late.append(refused.value)
        for lend in (ctx.blobs.create("late"), ctx.blobs.directory("late")):
            with pytest.raises(AttemptOver):
                await lend.__aenter__()
        with pytest.raises(AttemptOver):
            await ctx.progress(1.0)
        with pytest.raises(AttemptOver):
            await ctx.workdir()

    async def _participant(connection: Any) -> None: ...

    async def leaves_a_task(job: Step, ctx: Context) -> None:
        ctx.record("early", 1)
        tasks.append(asyncio.create_task(writes_late(ctx, None)))

    async with open_bench(_once(leaves_a_task)) as bench:
        assert receipt_of(await bench.run(await bench.job("loose"))) == "committed"
        await tasks[0]
        assert await bench.planes.store.record("loose", "k", "early") == b"1"
        assert await bench.planes.store.record("loose", "k", "late") is None
    assert "is over, so nothing more can be written in it" in str(late[0])


@in_virtual_time
async def test_nothing_that_one_job_sets_or_binds_is_seen_by_the_next() -> None:
    found: list[tuple[str, object]] = []

    async def leaky(job: Step, ctx: Context) -> None:
        found.append((_seen.get(), structlog.contextvars.get_contextvars()))
        _seen.set(job.on)
        structlog.contextvars.bind_contextvars(customer=job.on)
        await ctx.clock.sleep(1)
        assert (_seen.get(), structlog.contextvars.get_contextvars()) == (job.on, {"customer": job.on})

    async with open_bench(_once(leaky)) as bench:
        for key in ("a", "b", "a"):
            await bench.run(await bench.job("loose", Step(on=key)))
    assert found == [("nothing", {})] * 3


@in_virtual_time
async def test_a_timeout_holds_where_cancellation_is_swallowed_and_is_said_once() -> None:
    async def stubborn(job: Step, ctx: Context) -> None:
        while True:
            try:
                await ctx.clock.sleep(1_000)
            except asyncio.CancelledError:
                ctx.log.warning("I go on")

    async with open_bench(_once(stubborn, timeout=timedelta(seconds=20))) as bench:
        started = bench.clock.now()
        error = await _dead(bench)
        assert bench.clock.now() - started == 25
        assert error == (
            "TimeoutError: the attempt took longer than the processor's timeout of 20 s, and did not stop within 5 s "
            "of being cancelled: it was given up"
        )
        (line,) = bench.witness.lines("processor does not stop when it is cancelled, attempt given up")
        assert (line["type"], line["key"], line["attempt"]) == ("loose", "k", 1)
        assert len(bench.witness.lines("I go on")) < 20


@in_virtual_time
async def test_a_timeout_tells_where_the_processor_was() -> None:
    async def waits_for_the_moon(job: Step, ctx: Context) -> None:
        await ctx.clock.sleep(1_000)

    async with open_bench(_once(waits_for_the_moon, timeout=timedelta(seconds=20))) as bench:
        assert await _dead(bench) == "TimeoutError: the attempt took longer than the processor's timeout of 20 s"
        (letter,) = await bench.planes.inspection.dead()
        assert "waits_for_the_moon" in letter.detail
