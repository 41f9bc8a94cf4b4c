"""What a store holds, as JSON for people: one odd result hides no other job."""

from __future__ import annotations

import json

import pytest

from jobkit.ops.views import stored_json


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b'{"a":[1,null]}', {"a": [1, None]}),
        (b"9" * 5_000, "9" * 5_000),
        (b"[" * 100_000, "[" * 100_000),
        (b"NaN", "NaN"),
        (b"\xff", "\ufffd"),
    ],
)
def test_a_result_that_cannot_be_read_is_shown_as_its_text(raw: bytes, shown: object) -> None:
    assert stored_json(raw) == shown
    assert json.loads(json.dumps(stored_json(raw))) == shown
