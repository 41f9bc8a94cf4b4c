"""Each protection is needed, and the checker sees that it is: without it, some schedule breaks an invariant.

A protection is taken away by patching the code that has it; nothing in that code knows of this. The same schedule
with the protection in place breaks nothing, which `make campaign` looks at, too.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from jobkit.model.clock import Clock
from jobkit.testing.virtual_time import VirtualClock
from simulation.schedule import Schedule
from simulation.simulate import simulate

# Nobody is told of anything, and all logs are kept.
_PLAIN = Schedule()

# Within so many seeds a schedule is found that needs the protection.
MOST_SEEDS = 60

Patch = pytest.MonkeyPatch


@dataclass(frozen=True, slots=True)
class Mutation:
    """A protection taken away, and the invariants of which at least one must then be seen to break.

    `seed` is where it was seen last: the search begins there, so that it costs no more than two schedules.
    """

    name: str
    remove: Callable[[Patch], None]
    breaks: Sequence[str]
    schedule: Schedule = _PLAIN
    clock_of: Callable[[VirtualClock], Clock] | None = None
    seed: int = 0


def assert_needed(mutation: Mutation, monkeypatch: Patch) -> None:
    """Find a schedule that breaks what it says. Fails where there is none, or where it breaks with the protection."""
    changes: dict[str, Any] = {} if mutation.clock_of is None else {"clock_of": mutation.clock_of}
    for seed in itertools.chain([mutation.seed], range(MOST_SEEDS)):
        with monkeypatch.context() as patch:
            mutation.remove(patch)
            without = simulate(seed, mutation.schedule, looking_for=mutation.breaks, **changes)
        if without.broken & set(mutation.breaks):
            if "CAMPAIGN" in os.environ:
                sound = simulate(seed, mutation.schedule)
                assert not sound.broken, sound.report()
            return
    pytest.fail(f"{MOST_SEEDS} schedules without this protection ({mutation.name}) broke none of {mutation.breaks}")
