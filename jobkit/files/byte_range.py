"""Ranges of bytes, as RFC 9110, section 14, has them."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{1,18})?|-(\d{1,18}))", re.ASCII)


class Unsatisfiable(ValueError):
    """There is no byte of that range."""


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the start and stop of what a `Range` header asks for of `size` bytes, the stop not included.

    None where the whole is to be sent: a header that cannot be read, and one that names several ranges, are ignored.
    Raises `Unsatisfiable`.
    """
    found = _RANGE.fullmatch(header.strip().replace(" ", ""))
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, stop = max(0, size - int(suffix)), size
    else:
        start, stop = int(first), size if last is None else min(size, int(last) + 1)
        if last is not None and int(last) < start:
            return None
    if start >= stop:
        raise Unsatisfiable(header)
    return start, stop
