"""When a dead letter is edited, a secret goes where it was or nowhere, and a mask is never submitted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobkit.web.masking import MASK
from jobkit.web.unmasking import StillMasked, unmasked

A, B = {"url": "A", "token": MASK}, {"url": "B", "token": MASK}
SHOWN: dict[str, Any] = {"targets": [A, B], "pins": [MASK, MASK], "text": f"like {MASK}", "once": True, "pin": MASK}
ORIGINAL = {
    "targets": [{"url": "A", "token": "a"}, {"url": "B", "token": "b"}],
    "pins": ["1", "2"],
    "text": f"like {MASK}",
    "once": True,
    "pin": "3",
}


def submitted(**changed: Any) -> Any:
    """Return what is submitted where these fields are changed."""
    return json.loads(unmasked(json.dumps({**SHOWN, **changed}, ensure_ascii=False).encode(), SHOWN, ORIGINAL))


@pytest.mark.parametrize(
    "changed",
    [
        {"targets": [B]},
        {"targets": [B, A]},
        {"targets": [A, B, B]},
        {"targets": [A, {**B, "url": "C"}]},
        {"targets": [A, {**B, "to": 1}]},
        {"pins": [MASK]},
        {"pins": [MASK, "new"]},
        {"renamed": MASK},
        {MASK: 1},
        {"once": MASK},
        {"text": f"now {MASK}"},
        {"pin": f"Bearer {MASK}"},
        {"pin": [MASK]},
    ],
    ids=str,
)
def test_a_mask_without_its_place_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(StillMasked, match="anew"):
        submitted(**changed)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"once": 1},
        {"pin": "new"},
        {"pins": ["new"]},
        {"text": "no more"},
        {"targets": []},
        {"targets": [{"url": "C", "token": "c"}]},
    ],
    ids=str,
)
def test_what_stays_masked_stays_what_it_was(changed: dict[str, Any]) -> None:
    assert json.dumps(submitted(**changed)) == json.dumps({**ORIGINAL, **changed})


def test_one_secret_in_a_list_is_replaced_in_its_place() -> None:
    answer = submitted(targets=[A, {**B, "token": "new"}])
    assert answer["targets"] == [{"url": "A", "token": "a"}, {"url": "B", "token": "new"}]


def test_a_mask_in_other_letters_is_one() -> None:
    with pytest.raises(StillMasked):
        unmasked(b'{"pan": "' + b"\\u2022" * 6 + b'"}', {}, {})
    assert unmasked(b'{"broken', {}, {}) == b'{"broken'
    with pytest.raises(StillMasked):
        unmasked(f'{{"broken": "{MASK}'.encode(), {}, {})
