"""Text in messages, which anybody may have written: what every backend can keep of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from jobkit.model.names import KEY


def bounded_key(key: object) -> str:
    """Return `key` if every backend can keep it. Raises `ValueError`, also for what is no text."""
    if not isinstance(key, str):
        raise ValueError("must be text")
    without_nul(key)
    if len(key) > KEY.limit or len(key.encode()) > KEY.limit:
        raise ValueError(f"must not be longer than {KEY.limit} bytes")
    return key


def without_nul(text: str) -> str:
    """Return `text`. Raises `ValueError` where a NUL is in it, which not every backend can keep."""
    if "\0" in text:
        raise ValueError("must not contain NUL")
    return text


ReadText = Annotated[str, AfterValidator(without_nul)]
ReadKey = Annotated[str, AfterValidator(bounded_key)]
