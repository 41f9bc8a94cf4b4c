"""Text as PostgreSQL can keep it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from jobkit.ports.rules import keepable

_UNFIT = re.compile("[\0\ud800-\udfff]")


def fit(text: str) -> str:
    r"""Return `text` with what PostgreSQL keeps in no column, NUL and lone surrogates, written as `\x00` and the like.

    Names of jobs and keys never hold any; what processors say of their errors may.
    """
    if _UNFIT.search(text) is None:
        return text
    return keepable(text)


def fit_all(values: Iterable[object]) -> list[object]:
    """Return the values, with those that are text fit."""
    return [fit(value) if isinstance(value, str) else value for value in values]
