"""All that runs around the jobs of a process: its middleware, outermost first, and its hooks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jobkit.plugin.hooks import Hook
from jobkit.plugin.middleware import AroundAttempt, AroundSubmit

Declared = AroundAttempt | AroundSubmit | Hook


@dataclass(frozen=True, slots=True)
class Around:
    """What surrounds attempts and submits, and hears of outcomes."""

    attempts: tuple[AroundAttempt, ...] = ()
    submits: tuple[AroundSubmit, ...] = ()
    hooks: tuple[Hook, ...] = ()

    @classmethod
    def of(cls, declared: Iterable[Declared]) -> Around:
        """Return these, each once, in their order."""
        each = list({id(one): one for one in declared}.values())
        return cls(
            tuple(one for one in each if isinstance(one, AroundAttempt)),
            tuple(one for one in each if isinstance(one, AroundSubmit)),
            tuple(one for one in each if isinstance(one, Hook)),
        )


NOTHING_AROUND = Around()
