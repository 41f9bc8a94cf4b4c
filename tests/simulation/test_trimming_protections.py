"""What drops of a log what nobody needs, and that alone: each part of it is needed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest

from jobkit.backends.sqlite import retention
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.ports.inspection import KeyRecord
from jobkit.ports.planes import Planes
from jobkit.projections.projection import Projection
from jobkit.worker import worker
from jobkit.worker.maintenance import log_retention
from simulation.protection import Mutation, Patch, assert_needed
from simulation.schedule import Schedule

# Jobs of few keys, whose logs are dropped as they grow.
TRIMMING = Schedule(
    storm=15.0,
    jobs=15,
    keys=2,
    groups=0.0,
    keeping=0.0,
    ticking=0.0,
    tenanted=0.0,
    trimming=1.0,
    long_jobs=0.0,
    troubles=(("pause at a step", 1), ("crash", 1)),
    every=4.0,
)


def projections_not_asked(patch: Patch) -> None:
    """What is old enough goes, whatever a projection needs."""

    async def spared(planes: Planes, key: KeyRecord, projections: Sequence[Projection[Any]]) -> int:
        return key.log_length

    patch.setattr(log_retention, "_spared", spared)


def one_projection_asked(patch: Patch) -> None:
    """What one of the projections has a snapshot of goes."""
    sparing = log_retention._spared

    async def spared(planes: Planes, key: KeyRecord, projections: Sequence[Projection[Any]]) -> int:
        return await sparing(planes, key, projections[:1])

    patch.setattr(log_retention, "_spared", spared)


def age_not_asked(patch: Patch) -> None:
    """Everything counts as old enough."""
    finding = retention.old_entries

    def old_entries(transaction: Transaction, type: str, key: str, **bounds: Any) -> list[int]:
        return finding(transaction, type, key, **bounds | {"older_than": 0.0})

    patch.setattr(retention, "old_entries", old_entries)


def nothing_dropped(patch: Patch) -> None:
    """Logs grow for ever."""

    async def trim_logs_forever(*_: object, **__: object) -> None:
        """Drop nothing."""

    patch.setattr(worker, "trim_logs_forever", trim_logs_forever)


MUTATIONS = (
    Mutation("projections not asked", projections_not_asked, ("projections",), TRIMMING),
    Mutation("one projection asked", one_projection_asked, ("projections",), TRIMMING),
    Mutation("age not asked", age_not_asked, ("log retention",), TRIMMING),
    Mutation("nothing dropped", nothing_dropped, ("progress",), TRIMMING),
)
# Two that are different in kind; `make campaign` has all of them.
_FEW = MUTATIONS if "CAMPAIGN" in os.environ else [MUTATIONS[1], MUTATIONS[2]]


@pytest.mark.parametrize("mutation", _FEW, ids=lambda mutation: mutation.name)
def test_without_a_protection_some_schedule_breaks_an_invariant(mutation: Mutation, monkeypatch: Patch) -> None:
    assert_needed(mutation, monkeypatch)
