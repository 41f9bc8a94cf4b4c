"""How many partitions each type has: one field of a hash for each, changed by compare-and-set."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.redis.scripts import Argument
from jobkit.backends.redis.submit import store_script
from jobkit.model.layout import Layout

LAYOUTS = store_script("layouts")
SET = store_script("set_layout")


def layouts(flat: Sequence[bytes]) -> dict[str, Layout]:
    """Return the layouts that the answer of `LAYOUTS` lists."""
    found = {flat[at].decode(): Layout.unpack(flat[at + 1].decode()) for at in range(0, len(flat), 2)}
    return dict(sorted(found.items()))


def set_arguments(type: str, before: Layout | None, after: Layout) -> Sequence[Argument]:
    """Return the arguments of `SET`."""
    return (type, "" if before is None else before.pack(), after.pack())
