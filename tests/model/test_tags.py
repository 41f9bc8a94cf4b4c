"""Tags: what may be one, and how they are carried."""

from __future__ import annotations

from typing import Any

import pytest

from jobkit.model.tags import MAX_TAGS, tagged, tags_in


def test_tags_are_carried_in_order_each_once_and_none_costs_nothing() -> None:
    trace = {"traceparent": "00-1-2-03"}
    carried = tagged(trace, ["b", "a", "b"])
    assert tags_in(carried) == ("b", "a")
    assert carried["traceparent"] == trace["traceparent"]
    assert tagged(trace, ()) is trace
    assert tags_in(trace) == ()


_NO_TAGS = ["two words", "", " a", "a\n", "x" * 65, "\ud800", 7]


@pytest.mark.parametrize("tags", [*([one] for one in _NO_TAGS), "word", [*map(str, range(MAX_TAGS + 1))]])
def test_what_is_no_tag_is_refused(tags: Any) -> None:
    with pytest.raises(ValueError, match="tag"):
        tagged({}, tags)
