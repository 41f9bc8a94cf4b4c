"""Requests to keep something that arrive late: of a holder who was taken over, and of one who has asked again.

Random schedules have them, too, but so few that it takes many to see what happens without a protection.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobkit.backends.sqlite import checkpoints
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.ports.checkpoints import Checkpoint, SaveAnswer
from simulation.events import Saved, Trouble
from simulation.network import Node
from simulation.schedule import Schedule
from simulation.simulate import Outcome, simulate
from simulation.work import LOOSE, ORDERED, Order, Work

Patch = pytest.MonkeyPatch


def simulated(*, pause: float, delay: float) -> Outcome:
    """Run two jobs whose workers stop once for `pause` seconds; a request of theirs then takes `delay` more."""

    def lay_trap(node: Node) -> None:
        if node.name.endswith(".1"):
            node.trap("store.save_checkpoint", "during", skip=1, pause=pause, delay=delay)

    work = Work(key="a", number=0, steps=(4.0,) * 5, keeps=True)
    orders = [Order(0.2, type, f"{type}-job", work) for type in (ORDERED, LOOSE)]
    schedule = Schedule(storm=30.0, troubles=(), ticking=0.0, cancels=0.0)
    return simulate(3, schedule, orders=orders, on_start=lay_trap)


def stale_holders_keep(patch: Patch) -> None:
    """What is sent is kept, whoever holds the job now."""
    checked = checkpoints.save

    def save(transaction: Transaction, envelope: Envelope, fence: Fence, new: Checkpoint) -> SaveAnswer:
        row = transaction.execute("SELECT token, nonce FROM jobs WHERE id = ?", (envelope.id,)).fetchone()
        return checked(transaction, envelope, Fence(row[0], row[1], fence.owner), new)

    patch.setattr(checkpoints, "save", save)
    patch.setattr(checkpoints, "refusal", lambda *_: None)


def versions_not_compared(patch: Patch) -> None:
    """What comes last overwrites what was sent later."""
    patch.setattr(checkpoints, "_SAVE", checkpoints._SAVE.replace("WHERE checkpoints.version < excluded.version", ""))


@pytest.mark.parametrize(
    ("remove", "pause", "delay", "breaks"),
    [(stale_holders_keep, 20.0, 8.0, "fencing"), (versions_not_compared, 0.05, 5.0, "kept")],
)
def test_a_late_request_overwrites_nothing(
    monkeypatch: Patch, remove: Callable[[Patch], None], pause: float, delay: float, breaks: str
) -> None:
    sound = simulated(pause=pause, delay=delay)
    assert any(isinstance(event, Trouble) and "pauses" in event.what for event in sound.history.events)
    assert any(isinstance(event, Saved) for event in sound.history.events)
    assert not sound.broken, sound.report()
    with monkeypatch.context() as patch:
        remove(patch)
        assert breaks in simulated(pause=pause, delay=delay).broken
