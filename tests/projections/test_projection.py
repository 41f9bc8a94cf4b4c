"""A projection is what the log adds up to: kept with its position, and made anew where what is kept is not it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel, Field, computed_field

from jobkit import Context, Payload, Projection, RetryPolicy, processor
from jobkit.errors import ConfigurationError, ProjectionFailed
from jobkit.model.fence import Fence
from jobkit.ops.verify import verify
from jobkit.plugin.processor import Processor
from jobkit.ports.store import LogEntry
from jobkit.projections.projection import ProjectionState
from tests.virtual_site import Site, in_virtual_time, open_site


class Added(BaseModel):
    """An amount was added."""

    amount: int


class Sum(BaseModel):
    """All that was added."""

    total: int = 0
    count: int = 0


def sum_projection(name: str = "sum", *, version: int = 1, factor: int = 1, snapshot_every: int = 3) -> Projection[Sum]:
    projection = Projection(name, Sum, version=version, snapshot_every=snapshot_every)

    @projection.on("Added")
    def added(now: Sum, event: Added) -> Sum:
        return Sum(total=now.total + factor * event.amount, count=now.count + 1)

    return projection


def entries(*amounts: int) -> list[LogEntry]:
    return [LogEntry("Added", Added(amount=amount).model_dump_json().encode()) for amount in amounts]


class Add(Payload):
    """Add amounts on a key, in one job."""

    on: str
    amounts: tuple[int, ...]


def adder(projection: Projection[Sum], *, looks: bool = True) -> Processor[Add, int]:
    @processor("add", key=lambda job: job.on, ordered=True, projections=[projection], retry=RetryPolicy(max_attempts=1))
    async def add(job: Add, ctx: Context) -> int:
        for amount in job.amounts:
            ctx.append("Added", Added(amount=amount))
        return (await ctx.state(projection)).total if looks else 0

    return add


# ---- folding -----------------------------------------------------------------------------------------------------


def test_entries_move_the_state_and_other_kinds_only_the_position() -> None:
    reached = sum_projection().advance(
        ProjectionState(4, Sum(total=1, count=1)), [*entries(2, 3), LogEntry("Else", b"{}")]
    )
    assert reached == ProjectionState(7, Sum(total=6, count=3))


def test_an_entry_that_a_handler_does_not_take_is_named() -> None:
    with pytest.raises(ProjectionFailed, match=r"'sum' cannot take log entry 2 \(Added\)"):
        sum_projection().advance(ProjectionState(0, Sum()), [*entries(1), LogEntry("Added", b'{"amount": "much"}')])


def test_a_handler_that_returns_something_else_is_named() -> None:
    projection = Projection("odd", Sum)

    @projection.on("Added")
    def added(now: Sum, event: Added) -> Any:
        return event

    with pytest.raises(ProjectionFailed, match=r"handler of Added returned .*, not a Sum"):
        projection.advance(projection.begin(), entries(1))


def test_a_declaration_that_cannot_work_is_refused() -> None:
    projection = sum_projection()

    def unannotated(now, event):  # type: ignore[no-untyped-def]
        return now

    with pytest.raises(ConfigurationError, match="two handlers of 'Added'"):
        projection.on("Added")(unannotated)
    with pytest.raises(ConfigurationError, match="must take"):
        projection.on("Other")(unannotated)
    with pytest.raises(ConfigurationError, match="above zero"):
        Projection("x", Sum, version=0)
    with pytest.raises(ConfigurationError, match="one name"):
        processor("t", key=str, projections=[projection, sum_projection()])


@pytest.mark.parametrize(
    "raw", [None, b"null", b"{}", b"nonsense", b'{"version": 1, "position": 1, "state": {"total": "x"}}']
)
def test_what_is_not_a_state_of_this_version_is_not_taken_for_one(raw: bytes | None) -> None:
    assert sum_projection().load(raw) is None


def test_a_state_of_another_version_is_not_taken_for_one() -> None:
    reached = ProjectionState(2, Sum(total=5))
    assert sum_projection().load(sum_projection().dump(reached)) == reached
    assert sum_projection(version=2).load(sum_projection().dump(reached)) is None


# ---- in a job ----------------------------------------------------------------------------------------------------


async def add(site: Site, *jobs: Sequence[int], on: str = "k") -> list[Any]:
    """Run a job for each sequence of amounts; return their results."""
    results = []
    for amounts in jobs:
        submission = await site.client.submit("add", Add(on=on, amounts=tuple(amounts)))
        results.append((await site.ended(submission.id)).result)
    return results


async def kept(site: Site, projection: Projection[Sum], name: str = "") -> ProjectionState[Sum] | None:
    return projection.load(await site.planes.store.record("add", "k", name or projection.record))


async def drop(site: Site, *names: str) -> None:
    """Drop records of the key, as an operator might by hand."""
    key = await site.planes.inspection.key("add", "k")
    assert key is not None
    fence = Fence(key.token + 1, "drop", "test")
    lost = dict.fromkeys(names, b"null")
    assert await site.planes.store.amend("add", "k", fence, lost, log_length=key.log_length) is True


@in_virtual_time
async def test_a_job_sees_the_state_with_what_it_has_staged_and_the_next_job_goes_on_from_it() -> None:
    projection = sum_projection()
    async with open_site(adder(projection)) as site:
        site.start()
        assert await add(site, [1, 2], [], [10]) == [b"3", b"3", b"13"]
        assert await kept(site, projection) == ProjectionState(3, Sum(total=13, count=3))
        await site.at_rest()


@in_virtual_time
async def test_the_state_moves_with_the_log_though_the_processor_never_looks_at_it() -> None:
    projection = sum_projection()
    async with open_site(adder(projection, looks=False)) as site:
        site.start()
        await add(site, [1, 2], [10])
        assert await kept(site, projection) == ProjectionState(3, Sum(total=13, count=3))
        await site.at_rest()


@in_virtual_time
async def test_a_snapshot_is_kept_each_time_the_log_passes_a_multiple() -> None:
    projection = sum_projection(snapshot_every=3)
    async with open_site(adder(projection)) as site:
        site.start()
        await add(site, [1], [1])
        assert await kept(site, projection, projection.snapshot) is None
        await add(site, [1, 1])
        assert await kept(site, projection, projection.snapshot) == ProjectionState(4, Sum(total=4, count=4))
        await add(site, [1])
        assert await kept(site, projection, projection.snapshot) == ProjectionState(4, Sum(total=4, count=4))
        await site.at_rest()


@in_virtual_time
async def test_a_state_that_was_dropped_is_made_anew_by_the_next_job() -> None:
    projection = sum_projection()
    async with open_site(adder(projection)) as site:
        site.start()
        await add(site, [1, 2], [3], [4, 5])
        await drop(site, projection.record)
        assert await add(site, [6]) == [b"21"]
        await drop(site, projection.record, projection.snapshot)
        assert await add(site, []) == [b"21"]
        assert await kept(site, projection) == ProjectionState(6, Sum(total=21, count=6))
        await site.at_rest()


@in_virtual_time
async def test_a_new_version_is_made_from_the_whole_log_by_the_next_job() -> None:
    before, after = sum_projection(), sum_projection(version=2, factor=100)
    async with open_site(adder(before)) as site:
        first = site.start()
        await add(site, [1, 2], [3, 4])
        await first.drain()
        site.registry.processors["add"] = adder(after)
        verdict = await verify(site.planes, site.registry.projections())
        assert [finding.problem for finding in verdict.findings] == ["projection 'sum': is not kept in this version"]
        site.start("b")
        assert await add(site, [5]) == [b"1500"]
        await site.at_rest()


@in_virtual_time
async def test_a_log_that_no_longer_fits_fails_the_job_by_name_and_writes_nothing() -> None:
    projection = sum_projection()

    @processor("add", key=lambda job: job.on, ordered=True, projections=[projection], retry=RetryPolicy(max_attempts=1))
    async def add_nonsense(job: Add, ctx: Context) -> int:
        ctx.append("Added", {"amount": "much"})
        return 0

    async with open_site(add_nonsense) as site:
        site.start()
        await add(site, [1])
        assert "cannot take log entry 1 (Added)" in (await site.reasons())[0]
        assert await site.log("add", "k") == []


@in_virtual_time
async def test_a_projection_that_is_not_declared_is_refused_by_name() -> None:
    other = sum_projection("other")

    @processor("add", key=lambda job: job.on, retry=RetryPolicy(max_attempts=1))
    async def add_undeclared(job: Add, ctx: Context) -> int:
        return (await ctx.state(other)).total

    async with open_site(add_undeclared) as site:
        site.start()
        await add(site, [1])
        assert "has not declared the projection 'other'" in (await site.reasons())[0]


# ---- what reads back ---------------------------------------------------------------------------------------------


class Paid(BaseModel):
    """An event with another name on the wire."""

    amount: int = Field(default=0, alias="Amount")


class Balance(BaseModel):
    """A state with another name on the wire, and with what has no order."""

    balance: int = Field(default=0, alias="Balance")
    days: frozenset[str] = frozenset()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        """Made again by whoever reads."""
        return 2 * self.balance


def balance_projection(ratio: float = 1.0) -> Projection[Balance]:
    projection = Projection("balance", Balance, snapshot_every=2)

    @projection.on("Paid")
    def paid(now: Balance, event: Paid) -> Balance:
        return Balance(Balance=now.balance + event.amount, days=now.days | {str(event.amount)})

    return projection


@in_virtual_time
async def test_a_state_and_events_with_aliases_are_kept_and_rebuilt_and_verified_as_they_are() -> None:
    """Three deposits of 10 saw 10, 10, 10."""
    projection = balance_projection()

    @processor("add", key=lambda job: job.on, ordered=True, projections=[projection])
    async def pay(job: Add, ctx: Context) -> int:
        for amount in job.amounts:
            ctx.append("Paid", Paid(Amount=amount))
        return (await ctx.state(projection)).balance

    async with open_site(pay) as site:
        site.start()
        assert await add(site, [10], [10], [10]) == [b"10", b"20", b"30"]
        assert (await verify(site.planes, site.registry.projections())).findings == []
        await drop(site, projection.record, projection.snapshot)
        assert await add(site, [10]) == [b"40"]
        assert (await verify(site.planes, site.registry.projections())).findings == []
        await site.at_rest()


def test_standings_are_the_same_in_whatever_order_a_set_is_written() -> None:
    projection = balance_projection()
    one = projection.load(b'{"version":1,"position":2,"state":{"Balance":3,"days":["a","b"]}}')
    other = projection.load(b'{"version":1,"position":2,"state":{"balance":3,"days":["b","a"]}}')
    assert one is not None
    assert other is not None
    assert projection.same(one, other)
    assert not projection.same(one, ProjectionState(2, Balance(Balance=4)))
    assert not projection.same(one, ProjectionState(3, one.state))


class Mean(BaseModel):
    """A state that can become what JSON cannot say."""

    mean: float = 0.0


@in_virtual_time
async def test_a_state_that_would_not_read_back_fails_the_attempt_by_field() -> None:
    projection = Projection("mean", Mean)

    @projection.on("Added")
    def added(now: Mean, event: Added) -> Mean:
        return Mean(mean=float("nan"))

    @processor("add", key=lambda job: job.on, ordered=True, projections=[projection], retry=RetryPolicy(max_attempts=1))
    async def averages(job: Add, ctx: Context) -> int:
        ctx.append("Added", Added(amount=1))
        return 0

    async with open_site(averages) as site:
        site.start()
        await add(site, [1])
        (reason,) = await site.reasons()
        assert "projection 'mean' at log position 1: state.mean is nan, which JSON cannot say" in reason
        assert await site.log("add", "k") == []


class Hidden(BaseModel):
    """What would not be kept."""

    total: int = Field(default=0, exclude=True)


def test_a_model_that_would_not_read_back_is_refused_where_the_projection_is_declared() -> None:
    with pytest.raises(ConfigurationError, match=r"projection 'x': Hidden\.total is declared with exclude=True"):
        Projection("x", Hidden)

    def hides(now: Sum, event: Hidden) -> Sum:
        return now

    with pytest.raises(ConfigurationError, match=r"the event of 'Hid': Hidden\.total is declared"):
        sum_projection().on("Hid")(hides)


@pytest.mark.parametrize(
    ("name", "state", "version", "problem"),
    [
        ("", Sum, 1, "the name of a projection must be 1 to 180 bytes"),
        ("a\0b", Sum, 1, "must be without NUL"),
        ("x", Sum, True, "version and snapshot_every must be whole numbers above zero"),
        ("x", Sum, "2", "version and snapshot_every must be whole numbers above zero"),
        ("x", dict, 1, "the state must be a pydantic model"),
    ],
)
def test_a_projection_is_declared_with_what_it_needs(name: str, state: Any, version: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Projection(name, state, version=version)
