"""What has tenants take turns: without any of it, some run breaks an invariant."""

from __future__ import annotations

from typing import Any

import pytest

from jobkit.backends.sqlite import tenants
from jobkit.backends.sqlite.transaction import Transaction
from simulation.protection import Mutation, Patch, assert_needed
from simulation.schedule import Schedule

# Loose jobs of two tenants, of whom each has few places.
TENANTED = Schedule(storm=20.0, jobs=30, keys=6, tenanted=1.0, every=10.0, cancels=0.4, unique=0.0)


def places_not_counted(patch: Patch) -> None:
    """Whoever asks for a place gets one."""

    def take_place(transaction: Transaction, number: int, *_: Any) -> bool:
        transaction.execute("UPDATE jobs SET placed = 1 WHERE number = ?", (number,))
        return True

    patch.setattr(tenants, "take_place", take_place)


def places_kept_by_the_dead(patch: Patch) -> None:
    """Only a commit gives a place up."""
    giving = tenants.give_places

    def give_places(transaction: Transaction, type: str, line: str | None, source: str | None = None) -> Any:
        return giving(transaction, type, line, source) if source else []

    patch.setattr(tenants, "give_places", give_places)


MUTATIONS = (
    Mutation("places not counted", places_not_counted, ("tenants",), TENANTED),
    Mutation("places kept by the dead", places_kept_by_the_dead, ("tenants",), TENANTED),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_without_a_protection_some_schedule_breaks_an_invariant(mutation: Mutation, monkeypatch: Patch) -> None:
    assert_needed(mutation, monkeypatch)
