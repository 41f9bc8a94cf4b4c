"""An edited payload gets back the secrets that were left masked: each in its own place, or not at all."""

from __future__ import annotations

import json
from typing import Any

from jobkit.ops.views import stored_json
from jobkit.web.masking import MASK


class StillMasked(ValueError):
    """A mask was left where nobody can tell which secret it stands for."""


def unmasked(edited: bytes, shown: Any, original: Any) -> bytes:
    """Return an edited payload with the secrets of the original; `shown` is the original as it was masked.

    Raises `StillMasked` where it has a mask whose place is not that of one in `shown`.
    """
    said = stored_json(edited)
    return json.dumps(_restored(said, shown, original)).encode() if _has_mask(said) else edited


def _restored(said: Any, shown: Any, original: Any) -> Any:
    if not _has_mask(said):
        return said
    if _same(said, shown):
        return original
    if isinstance(said, dict) and isinstance(shown, dict) and isinstance(original, dict) and MASK not in "".join(said):
        return {key: _restored(value, shown.get(key), original.get(key)) for key, value in said.items()}
    if isinstance(said, list) and isinstance(shown, list) and isinstance(original, list) and _in_place(said, shown):
        return [_restored(*each) for each in zip(said, shown, original, strict=True)]
    raise StillMasked(
        f"{MASK} stands for a secret only where it was: give the secrets anew in what was added, renamed or moved, "
        "and in lists whose entries were changed"
    )


def _in_place(said: list[Any], shown: list[Any]) -> bool:
    """Tell whether each entry is the one that it was: they could be told apart, and only secrets were replaced."""
    told_apart = len({json.dumps(one, sort_keys=True) for one in shown}) == len(shown)
    return told_apart and _differ_in_secrets(said, shown)


def _differ_in_secrets(said: Any, shown: Any) -> bool:
    """Tell whether two values differ in nothing but in what is masked in `shown`."""
    if shown == MASK:
        return True
    if isinstance(said, dict) and isinstance(shown, dict):
        return said.keys() == shown.keys() and all(_differ_in_secrets(said[key], shown[key]) for key in said)
    if isinstance(said, list) and isinstance(shown, list):
        return len(said) == len(shown) and all(map(_differ_in_secrets, said, shown))
    return _same(said, shown)


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same JSON: true is not 1 there."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _has_mask(said: Any) -> bool:
    if isinstance(said, str):
        return MASK in said
    if isinstance(said, dict):
        return any(MASK in key or _has_mask(value) for key, value in said.items())
    return isinstance(said, list) and any(map(_has_mask, said))
