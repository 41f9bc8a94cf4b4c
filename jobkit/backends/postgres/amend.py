"""Amending a key: records that are derived from its log, written outside of any job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobkit.backends.postgres.sanitize import fit
from jobkit.model.fence import Fence
from jobkit.ports.store import Stale

AMEND = "SELECT * FROM jobkit.amend_key($1, $2, $3, $4, $5, $6, $7, $8)"


def arguments(type: str, key: str, fence: Fence, records: Mapping[str, bytes], log_length: int) -> tuple[Any, ...]:
    """Return the arguments of `AMEND`."""
    names = [fit(name) for name in records]
    return (type, key, fence.token, fence.nonce, fence.owner, log_length, names, list(records.values()))


def amended(row: Mapping[str, Any]) -> bool | Stale:
    """Return what `AMEND` says."""
    return Stale(row["mark"]) if row["answer"] == "stale" else row["answer"] == "amended"
