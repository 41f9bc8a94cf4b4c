"""Amending a key: records that are derived from its log, written outside of any job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobkit.backends.redis.scripts import Argument
from jobkit.backends.redis.submit import store_script
from jobkit.model.fence import Fence
from jobkit.ports.store import Stale

AMEND = store_script("amend")


def arguments(type: str, key: str, fence: Fence, records: Mapping[str, bytes], log_length: int) -> Sequence[Argument]:
    """Return the arguments of `AMEND`."""
    pairs: list[Argument] = [part for name, value in records.items() for part in (name, value)]
    return (type, key, str(fence.token), fence.nonce, fence.owner, str(log_length), *pairs)


def amended(row: Sequence[Any]) -> bool | Stale:
    """Return what the answer of `AMEND` says."""
    match row:
        case [b"stale", mark]:
            return Stale(int(mark))
        case _:
            return bool(row[0] == b"amended")
