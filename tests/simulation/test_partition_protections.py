"""What keeps jobs in order while numbers of partitions change: each part of it is needed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobkit.model.layout import Layout
from simulation.protection import Mutation, Patch, assert_needed
from simulation.schedule import Schedule

# Much that is submitted while numbers of partitions change, and nothing else that would put it out of order.
CHANGING = Schedule(plain=True, jobs=300, troubles=(("change partitions", 1),), every=12.0, cancels=0.0)


def changes_not_announced(patch: Patch) -> None:
    """Another number of partitions is begun with at once: some publish by the old one, some not at all."""
    patch.setattr(Layout, "announced", Layout.changed)


def opened_without_looking(patch: Patch) -> None:
    """After a change, all publish as soon as nobody has left anything in the outbox, as far as one can see."""

    def swept(self: Layout, index: int) -> Layout:
        return replace(self, gathered=self.gathered - {index})

    patch.setattr(Layout, "swept", swept)


MUTATIONS = (
    Mutation("changes not announced", changes_not_announced, ("order",), CHANGING, seed=3),
    Mutation("opened without looking", opened_without_looking, ("order",), CHANGING, seed=1),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_without_a_protection_some_schedule_breaks_an_invariant(mutation: Mutation, monkeypatch: Patch) -> None:
    assert_needed(mutation, monkeypatch)
