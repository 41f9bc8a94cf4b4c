"""A row that a store keeps is read whole, or not at all: what could not be fired from here is never half understood."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jobkit.client.schedule_row import kept_of, schedule_of
from jobkit.errors import ScheduleUnreadable
from jobkit.model.schedule import LastTick, Pause, Schedule, ScheduledJob
from jobkit.model.ticks import Timing

SCHEDULE = Schedule(
    "s",
    Timing(every=60),
    ScheduledJob("t", b"{}", "k", ordered=True),
    decided=60.0,
    pause=Pause("ann", 1.0),
    last=LastTick(60.0, job="s@1"),
)
KEPT = kept_of(SCHEDULE, revision=3)


def rewritten(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(KEPT.definition)
    change(document)
    return json.dumps(document).encode()


def test_what_was_kept_is_read() -> None:
    assert schedule_of(KEPT) == SCHEDULE


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.update(window=5),
        lambda it: it["timing"].update(until=5),
        lambda it: it["job"].update(expires=5),
        lambda it: it["pause"].update(until=5),
        lambda it: it["last"].update(why="x"),
        lambda it: it.update(missed="some"),
        lambda it: it.pop("timing"),
        lambda it: it["timing"].update(every=1e300),
        lambda it: it["timing"].update(jitter=float("nan")),
        lambda it: it["timing"].update(every=None, cron="0 3 * * *", zone="Nowhere/Else"),
        lambda it: it.update(decided=1e300),
        lambda it: it.update(decided=float("nan")),
        lambda it: it["pause"].update(at=-1.0),
        lambda it: it["last"].update(tick=float("inf")),
        lambda it: it["job"].update(key="a\0b"),
        lambda it: it["job"].update(key=None),
        lambda it: it["job"].update(type="other"),
        lambda it: it.update(name="other"),
    ],
)
def test_what_could_not_be_fired_is_unreadable_and_named(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(ScheduleUnreadable, match="schedule 's' cannot be read"):
        schedule_of(replace(KEPT, definition=rewritten(change)))


@pytest.mark.parametrize("definition", [b"", b"\xff", b"[]", b"null", b"[" * 100_000])
def test_what_is_no_definition_at_all_is_unreadable(definition: bytes) -> None:
    with pytest.raises(ScheduleUnreadable):
        schedule_of(replace(KEPT, definition=definition))
