"""Limits that hold in the whole cluster: how many jobs run at once, and how many begin within a time."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from jobkit.model import names
from jobkit.model.limit import Limit
from jobkit.model.names import slug
from jobkit.model.safe_text import shown

# Each start is remembered for as long as it counts.
_MOST_STARTS = 10_000

LimitKey = Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Concurrency:
    """At most `count` jobs run at once, of all types that name this limit; with `key`, of those with the same key."""

    name: str
    count: int
    key: LimitKey | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` jobs begin within any `per`, of all types that name this limit; with `key`, as `Concurrency`."""

    name: str
    count: int
    per: timedelta
    key: LimitKey | None = None


def needed(limits: Sequence[Concurrency | Rate], payload: Any) -> tuple[Limit, ...]:
    """Return what a job with this payload needs. Raises `ValueError` where a key is not a usable string."""
    return tuple(
        Limit(
            limit.name if limit.key is None else f"{limit.name}/{names.KEY.check(limit.key(payload))}",
            limit.count,
            limit.per.total_seconds() if isinstance(limit, Rate) else None,
        )
        for limit in limits
    )


def problems_of(limits: object) -> list[str]:
    """Return what is wrong with the limits of a declaration, whatever was given for them."""
    if not isinstance(limits, list | tuple) or not all(isinstance(one, Concurrency | Rate) for one in limits):
        return [f"limits must be a list of Concurrency and Rate, not {shown(limits)}"]
    found = [problem for limit in limits for problem in _problems(limit)]
    if len({limit.name for limit in limits}) < len(limits):
        found.append("two of its limits have one name")
    return found


def _problems(limit: Concurrency | Rate) -> list[str]:
    name, count, key = limit.name, limit.count, limit.key
    found = []
    try:
        slug(name, "the name of a limit")
    except ValueError as error:
        found.append(str(error))
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= _MOST_STARTS:
        found.append(f"limit {shown(name)}: count must be 1 to {_MOST_STARTS}, not {shown(count)}")
    if key is not None and (not callable(key) or inspect.iscoroutinefunction(key)):
        found.append(f"limit {shown(name)}: key must be a plain function of the payload, not {shown(key)}")
    if isinstance(limit, Rate) and not (isinstance(limit.per, timedelta) and limit.per >= timedelta(milliseconds=1)):
        found.append(f"limit {shown(name)}: per must be a timedelta of a millisecond or more, not {shown(limit.per)}")
    return found


def differ(one: Concurrency | Rate, other: Concurrency | Rate) -> bool:
    """Return whether two declarations under one name contradict each other; each has a function of its own for keys."""
    return one.name == other.name and _terms(one) != _terms(other)


def _terms(limit: Concurrency | Rate) -> tuple[object, ...]:
    return (limit.count, limit.per if isinstance(limit, Rate) else None, limit.key is None)
