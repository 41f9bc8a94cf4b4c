"""A payload beside today's model of it: each row says what the worker's own reading of it would."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from pydantic import Field, model_validator

from jobkit import Context, Payload, processor
from jobkit.plugin.registry import Registry
from jobkit.web.access import Role, User
from jobkit.web.comparison import compared


class Span(Payload):
    """Two ends, of which one is kept under another name."""

    begin: int = Field(alias="from")
    end: int = Field(alias="to")

    @model_validator(mode="after")
    def _in_order(self) -> Span:
        if self.end < self.begin:
            raise ValueError("it ends before it begins")
        return self


@processor("span", key=lambda job: str(job.begin))
async def span(job: Span, ctx: Context) -> None:
    """Only names the type."""


def verdicts(body: bytes) -> Mapping[str, str]:
    return {one.name: one.verdict for one in compared(User("op", Role.OPERATOR), Registry([span]), "span", body)}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"from": 1, "to": 2}', {"from": "fits", "to": "fits"}),
        (b'{"begin": 1, "to": 2}', {"begin": "fits", "to": "fits"}),
        (b'{"begin": "x", "to": 2}', {"begin": "Input should be a valid integer", "to": "fits"}),
        (b'{"begin": 1}', {"begin": "fits", "to": "missing: it is needed"}),
        (
            b'{"from": 3, "to": 2}',
            {"from": "fits", "to": "fits", "all together": "Value error, it ends before it begins"},
        ),
    ],
    ids=str,
)
def test_each_row_says_what_the_reading_says(body: bytes, said: Mapping[str, str]) -> None:
    found = verdicts(body)
    assert found.keys() == said.keys()
    for name, verdict in said.items():
        assert found[name].startswith(verdict), name
