"""Text about values and errors that came from a plugin, which no plugin can break and every backend can keep.

A `__str__` or `__repr__` may raise, an integer may have more digits than Python writes, a message may have megabytes, a
lone surrogate or a NUL. None of that may turn the report of a failure into another failure.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable

# What is kept of a message, and of the end of a traceback, where the cause is.
ERROR_CHARACTERS = 2_000
TRACEBACK_CHARACTERS = 8_000
_VALUE_CHARACTERS = 80


def storable(text: str) -> str:
    """Return text that every backend can keep: no lone surrogates, as from file names, and no NUL."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def shown(value: object, limit: int = _VALUE_CHARACTERS) -> str:
    """Return `repr(value)` for a message, at most `limit` characters of it, whatever the value does."""
    return storable(_told(repr, value)[:limit])


def error_text(error: BaseException, limit: int = ERROR_CHARACTERS) -> str:
    """Return `Name: message` on an error, at most `limit` characters of it, whatever the error does."""
    return storable(f"{type(error).__name__}: {_told(str, error)[:limit]}"[:limit])


def error_traceback(error: BaseException, limit: int = TRACEBACK_CHARACTERS) -> str:
    """Return the last `limit` characters of an error's traceback, whatever the error does."""
    try:
        lines = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001  (an attribute of the error's own raised; the frames are worth having without it)
        lines = "".join(traceback.format_tb(error.__traceback__)) + error_text(error)
    return storable(lines[-limit:])


def _told(tell: Callable[[object], str], value: object) -> str:
    try:
        # Also of a subclass of str with a mind of its own, only the text counts.
        return str.__str__(tell(value))
    except Exception as error:  # noqa: BLE001  (this is what the module is for)
        return f"<{type(value).__name__}, whose text cannot be had: {type(error).__name__}>"
