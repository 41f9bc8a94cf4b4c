"""Who ran when in a simulation, turn by turn: a difference shows here long before it changes what is committed."""

from __future__ import annotations

import asyncio
import hashlib
from unittest import mock

from jobkit.testing.virtual_time import VirtualLoop
from simulation.schedule import Schedule
from simulation.simulate import simulate

# A little of everything, and soon over.
SHORT = Schedule(storm=20.0, jobs=15, notifying=1.0, trimming=1.0)


def digest_of_turns(seed: int) -> str:
    """Simulate a seed; return the digest of the callbacks that ran, in their order, and of what they made happen."""
    turns, over = hashlib.sha256(), False
    run = VirtualLoop._run

    def noted(loop: VirtualLoop, handle: asyncio.Handle) -> None:
        nonlocal over
        callback = handle._callback  # type: ignore[attr-defined]  # where asyncio's own repr looks
        task = getattr(callback, "__self__", None)
        who = getattr(task, "number", None) or getattr(callback, "__qualname__", type(callback).__name__)
        # What is torn down afterwards is what the garbage collector has left.
        over = over or who == "_run_until_complete_cb"
        if not over:
            turns.update(f"{loop.time()} {who}\n".encode())
        run(loop, handle)

    with mock.patch.object(VirtualLoop, "_run", noted):
        turns.update(simulate(seed, SHORT).history.digest().encode())
    return turns.hexdigest()
