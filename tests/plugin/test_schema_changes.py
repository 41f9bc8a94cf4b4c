"""Which changes of a payload's model take less than before, and which do not."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

from jobkit import Payload
from jobkit.plugin.schema_changes import narrowed


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Red(StrEnum):
    RED = "red"


class Point(BaseModel):
    model_config = ConfigDict(extra="forbid")

    x: int
    y: int = 0


class Flat(BaseModel):
    model_config = ConfigDict(extra="forbid")

    x: int


class Tree(BaseModel):
    name: str
    below: list[Tree] = []


class Named(BaseModel):
    name: Annotated[str, Field(max_length=5)]
    below: list[Named] = []


def schema(type: Any) -> dict[str, Any]:
    model = create_model("P", __base__=Payload, field=(type, ...))
    return TypeAdapter(model).json_schema()


WIDER = [
    (int, float),
    (int, int | None),
    (Red, Colour),
    (Literal["a"], str),
    (Flat, Point),
    (list[Flat], list[Point]),
    (dict[str, int], dict[str, float]),
    (Annotated[int, Field(ge=2)], Annotated[int, Field(ge=1)]),
    (Annotated[str, Field(max_length=2)], str),
    (date, Any),
    (Tree, Tree),
    (int | str, int | str | None),
]
NARROWER = [
    (float, int, "field: it was number, and is integer"),
    (int | None, int, "field: null is not taken any more"),
    (Colour, Red, "field: it takes only 'red'"),
    (str, Literal["a"], "field: it takes only 'a'"),
    (Point, Flat, "field.y: it was removed"),
    (list[Point], list[Flat], "field[].y: it was removed"),
    (dict[str, float], dict[str, int], "field[]: it was number, and is integer"),
    (Annotated[int, Field(ge=1)], Annotated[int, Field(ge=2)], "field: minimum is 2, and was 1"),
    (str, Annotated[str, Field(max_length=2)], "field: maxLength is 2"),
    (str, datetime, "field: format is date-time"),
    (Any, int, "field: anything was taken, and is not any more"),
    (Tree, Named, "field.name: maxLength is 5"),
    (tuple[int, float], tuple[int, int], "field[1]: it was number, and is integer"),
]


@pytest.mark.parametrize(("before", "after"), WIDER)
def test_what_takes_as_much_or_more_is_no_narrower(before: Any, after: Any) -> None:
    assert narrowed(schema(before), schema(after)) == []
    assert narrowed(schema(before), schema(before)) == []


@pytest.mark.parametrize(("before", "after", "what"), NARROWER)
def test_what_takes_less_is_said_by_the_field(before: Any, after: Any, what: str) -> None:
    assert what in narrowed(schema(before), schema(after))
    assert narrowed(schema(after), schema(after)) == []


def test_fields_that_come_and_go_are_said() -> None:
    class Before(Payload):
        gone: int
        optional: int = 0
        same: Decimal = Decimal(0)

    class After(Payload):
        optional: int
        new: str
        same: Decimal = Decimal(0)
        default: int = 1

    found = narrowed(TypeAdapter(Before).json_schema(), TypeAdapter(After).json_schema())
    assert found == [
        "gone: it was removed",
        "optional: it is required",
        "new: it is required, and was not there",
    ]
