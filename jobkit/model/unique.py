"""A name that one job at a time may hold: what makes of many requests for the same thing one job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jobkit.model.names import UNIQUE

While = Literal["queued", "unfinished"]
OnConflict = Literal["keep", "replace"]


@dataclass(frozen=True, slots=True)
class Unique:
    """A unique name, of a job's type, as a job is to hold it once it is accepted.

    It does so `while_` it is "queued", that is until it begins for the first time; or, "unfinished", until it has
    ended. Where another one holds the name and has not begun, `replace` says that this one takes its place.
    """

    name: str
    while_: While = "queued"
    replace: bool = False


def told_unique(name: str | None, while_: While, on_conflict: OnConflict) -> Unique | None:
    """Return the unique name that a program has said, or None.

    Raises `ValueError` where it is no name, or it is not known what to do with it.
    """
    if name is None:
        if (while_, on_conflict) != ("queued", "keep"):
            raise ValueError("while_= and on_conflict= go with unique=")
        return None
    if while_ not in ("queued", "unfinished"):
        raise ValueError(f'while_={while_!r} is neither "queued" nor "unfinished"')
    if on_conflict not in ("keep", "replace"):
        raise ValueError(f'on_conflict={on_conflict!r} is neither "keep" nor "replace"')
    return Unique(UNIQUE.check(name), while_, on_conflict == "replace")
