"""What is written reads back equal, or is refused by the name of the field that does not."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    computed_field,
    field_validator,
)

from jobkit import Context, Payload, processor
from jobkit.backends.registry import memory_planes
from jobkit.client import Client
from jobkit.errors import PayloadInvalid
from jobkit.model.read_back import MAX_DIGITS, Codec, NotReadBack, dump_untyped
from jobkit.plugin.registry import Registry
from jobkit.testing import run_job
from tests.steps import Step
from tests.virtual_site import settings_of


class Color(Enum):
    """A choice."""

    RED = "red"
    BLUE = 2


class Inner(BaseModel):
    """A model within."""

    at: datetime
    ratio: Annotated[float, Field(allow_inf_nan=False)] = Field(alias="theRatio")


class Rich(Payload):
    """A payload of most kinds of fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    number: int = Field(alias="theNumber")
    either: int | str = Field(validation_alias=AliasChoices("either", "this"))
    flag: bool | None
    when: timedelta
    day: date
    amount: Decimal
    path: Path
    uuid: UUID
    color: Color
    pairs: tuple[int, str]
    names: frozenset[str]
    raw: bytes
    table: dict[int, list[Inner]]
    _count: int = PrivateAttr(default=0)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def length(self) -> int:
        """Made again by whoever reads."""
        return len(self.text)


_numbers = st.integers(-(10**MAX_DIGITS) + 1, 10**MAX_DIGITS - 1)
_text = st.text(st.characters(codec="utf-8"), max_size=20)
_inner = st.builds(
    Inner,
    at=st.datetimes(timezones=st.just(UTC)),
    theRatio=st.floats(allow_nan=False, allow_infinity=False),
)
_rich = st.builds(
    Rich,
    text=_text,
    theNumber=_numbers,
    either=st.one_of(_numbers, _text),
    flag=st.none() | st.booleans(),
    when=st.timedeltas(timedelta(days=-9_999), timedelta(days=9_999)),
    day=st.dates(),
    amount=st.decimals(allow_nan=False, allow_infinity=False),
    path=st.just(Path("a/b")),
    uuid=st.uuids(),
    color=st.sampled_from(Color),
    pairs=st.tuples(_numbers, _text),
    names=st.frozensets(_text, max_size=3),
    raw=_text.map(str.encode),
    table=st.dictionaries(st.integers(), st.lists(_inner, max_size=2), max_size=2),
)


@processor("rich", key=lambda _: "k")
async def rich(job: Rich, ctx: Context) -> Rich:
    """Give back what came."""
    return job


@settings(max_examples=200)
@given(_rich)
def test_any_payload_reads_back_equal(payload: Rich) -> None:
    body = rich.dump(payload)
    assert rich.parse(body) == payload
    assert rich.dump(rich.parse(body)) == body or payload.names
    assert b"length" not in body


_json = st.recursive(
    st.none() | st.booleans() | _numbers | st.floats() | _text | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200)
@given(_json)
def test_what_has_no_type_reads_back_equal_or_is_refused(value: Any) -> None:
    if _can_be_said(value):
        assert Codec(Any).load(dump_untyped(value, "value")) == value
    else:
        with pytest.raises(NotReadBack, match=r"^value"):
            dump_untyped(value, "value")


def _can_be_said(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_can_be_said, value.values()))
    if isinstance(value, list):
        return all(map(_can_be_said, value))
    return value != "\ud800" and not (isinstance(value, float) and not math.isfinite(value))


# ---- what does not read back ---------------------------------------------------------------------------------------


class Prefixed(Payload):
    """A validator that does not leave alone what it has made."""

    name: str

    @field_validator("name")
    @classmethod
    def _prefix(cls, value: str) -> str:
        return f"id-{value}"


class Loose(Payload):
    """Fields that take what JSON cannot say."""

    ratios: tuple[float, ...] = ()
    anything: Any = None
    base: BaseModel | None = None


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (Prefixed(name="x"), "payload.name is 'id-x' and reads back as 'id-id-x'"),
        (Loose(ratios=(1.0, float("nan"))), "payload.ratios.1 is nan, which JSON cannot say"),
        (Loose(anything=float("-inf")), "payload.anything is -inf, which JSON cannot say"),
        (Loose(anything=(1, 2)), r"payload.anything is \(1, 2\) and reads back as \[1, 2\]"),
        (Loose(anything=SecretStr("hunter2")), "payload.anything is a secret, which is written as asterisks"),
        (Loose(anything={"a": "\ud800"}), "payload.anything.a is not valid Unicode"),
        (Loose(anything=[10**MAX_DIGITS]), "payload.anything.0 is, or contains, a number of more than 300 digits"),
        (Loose(anything=10**5_000), "payload.anything is, or contains, a number of more than 300 digits"),
        (Loose(base=Inner(at=datetime(2026, 1, 1, tzinfo=UTC), theRatio=1.0)), "payload.base is a Inner and reads"),
    ],
)
async def test_a_payload_that_would_not_arrive_as_it_is_is_refused_by_field(payload: Payload, problem: str) -> None:
    async def takes(job: Any, ctx: Context) -> None: ...

    async def submits(job: Step, ctx: Context) -> None:
        ctx.submit("takes", payload)

    takes.__annotations__["job"] = type(payload)
    declared = processor("takes", key=lambda _: "k")(takes)
    with pytest.raises(PayloadInvalid, match=f"payload of type 'takes' is not valid: {problem}") as refused:
        await run_job(processor("parent", key=lambda _: "k")(submits), Step(), knows=[declared])
    assert "hunter2" not in str(refused.value)
    async with memory_planes() as planes:
        client = Client(planes, Registry([declared]), settings_of(partitions=1))
        with pytest.raises(PayloadInvalid, match=problem):
            await client.submit("takes", payload)
        with pytest.raises(PayloadInvalid, match=problem):
            client.job("takes", payload)


async def test_a_mapping_and_json_are_proven_as_a_model_is() -> None:
    @processor("takes", key=lambda _: "k")
    async def takes(job: Prefixed, ctx: Context) -> None: ...

    registry = Registry([takes])
    given_as: list[Any] = [{"name": "x"}, b'{"name":"x"}']
    for payload in given_as:
        with pytest.raises(PayloadInvalid, match=r"payload\.name is 'id-x' and reads back as 'id-id-x'"):
            registry.new_job("takes", payload)


class Aliased(BaseModel):
    """A record with another name on the wire."""

    amount: int = Field(default=0, alias="Amount")


async def test_records_and_entries_with_aliases_read_back() -> None:
    @processor("keeps", key=lambda _: "k")
    async def keeps(job: Step, ctx: Context) -> Aliased:
        ctx.record("kept", Aliased(Amount=5))
        ctx.append("kept", {"nested": [Aliased(Amount=6)]})
        kept = await ctx.read("kept", Aliased)
        assert kept is not None
        return kept

    outcome = await run_job(keeps, Step())
    assert outcome.result == Aliased(Amount=5)
    assert (outcome.records, outcome.log[0].data) == ({"kept": {"Amount": 5}}, b'{"nested":[{"Amount":6}]}')


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"1": 1, 1: 2}, "value has two entries that JSON would call '1'"),
        ([SecretStr("x")], "value.0 is a secret"),
        (object(), "value cannot be written as JSON"),
        (Prefixed(name="x"), "value.name is 'id-x'"),
    ],
)
def test_what_json_cannot_say_without_a_type_is_refused(value: object, problem: str) -> None:
    with pytest.raises(NotReadBack, match=problem):
        dump_untyped(value, "value")


def test_what_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(NotReadBack, match="nested too deeply"):
        dump_untyped(value, "value")
