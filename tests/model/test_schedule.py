"""What becomes of the ticks of a schedule: missed ones, overlaps, pauses and changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobkit.model.schedule import Pause, Schedule, ScheduledJob, load_schedule
from jobkit.model.tick_decision import decide
from jobkit.model.tick_policy import Missed, Overlap
from jobkit.model.ticks import Timing

MINUTELY = Schedule("s", Timing(every=60), ScheduledJob("t", b"{}", None, ordered=False), decided=0.0)


def missing(missed: Missed, **more: object) -> Schedule:
    return replace(MINUTELY, missed=missed, **more)  # type: ignore[arg-type]


def test_a_tick_fires_when_it_is_due_and_not_again() -> None:
    assert decide(MINUTELY, 59.9, busy=False).fire == ()
    decision = decide(MINUTELY, 60.2, busy=False)
    assert (decision.fire, decision.missed, decision.due) == ((60.0,), 0, 120.0)
    assert decision.schedule.last is not None
    assert decision.schedule.last.job == decision.schedule.last_job == "s@1970-01-01T00:01:00Z"
    again = decide(decision.schedule, 60.2, busy=False)
    assert (again.fire, again.due) == ((), 120.0)


@pytest.mark.parametrize(
    ("schedule", "now", "fire", "missed"),
    [
        (missing(Missed.LATEST), 330.0, (300.0,), 4),
        (missing(Missed.SKIP), 330.0, (300.0,), 4),
        (missing(Missed.SKIP, grace=20), 330.0, (), 5),
        (missing(Missed.ALL), 330.0, (60.0, 120.0, 180.0, 240.0, 300.0), 0),
        (missing(Missed.ALL, bound=2), 330.0, (240.0, 300.0), 3),
    ],
)
def test_missed_ticks_fire_as_the_schedule_says(
    schedule: Schedule, now: float, fire: tuple[float, ...], missed: int
) -> None:
    decision = decide(schedule, now, busy=False)
    assert (decision.fire, decision.missed, decision.due) == (fire, missed, 360.0)
    if not fire:
        assert decision.schedule.last is not None
        assert decision.schedule.last.passed == "missed"


def test_a_tick_that_would_overlap_passes_or_waits_or_fires() -> None:
    assert decide(MINUTELY, 60.0, busy=True).fire == (60.0,)
    passed = decide(replace(MINUTELY, overlap=Overlap.SKIP), 60.0, busy=True)
    assert (passed.fire, passed.overlapped, passed.due) == ((), 1, 120.0)
    assert passed.schedule.last is not None
    assert passed.schedule.last.passed == "overlap"
    waits = replace(MINUTELY, overlap=Overlap.WAIT)
    held = decide(waits, 60.0, busy=True)
    assert (held.held, held.schedule, held.due) == (True, waits, 61.0)
    assert decide(waits, 75.0, busy=False).fire == (60.0,)


def test_of_several_missed_ones_no_two_are_let_overlap() -> None:
    several = missing(Missed.ALL, overlap=Overlap.SKIP)
    first = decide(several, 200.0, busy=False)
    assert (first.fire, first.overlapped, first.schedule.decided) == ((60.0,), 2, 180.0)
    waiting = missing(Missed.ALL, overlap=Overlap.WAIT)
    fired: list[float] = []
    for _ in range(3):
        decision = decide(waiting, 200.0, busy=False)
        fired += decision.fire
        waiting = decision.schedule
    assert fired == [60.0, 120.0, 180.0]
    assert decide(waiting, 200.0, busy=False).fire == ()


def test_a_tick_with_jitter_waits_for_its_moment() -> None:
    late = replace(MINUTELY, timing=Timing(every=60, jitter=50))
    due = late.due
    assert due is not None
    assert 60 < due < 110
    assert decide(late, due - 0.01, busy=False).fire == ()
    assert decide(late, due, busy=False).fire == (60.0,)


def test_a_paused_schedule_has_no_next_tick() -> None:
    paused = replace(MINUTELY, pause=Pause("ann", 1.0))
    assert (paused.next_tick, paused.due) == (None, None)
    assert decide(paused, 1_000.0, busy=False).fire == ()


def test_a_changed_declaration_goes_on_where_the_last_one_was() -> None:
    known = decide(replace(MINUTELY, pause=None), 60.0, busy=False).schedule
    other_job = replace(MINUTELY, job=ScheduledJob("t", b"[1]", None, ordered=False), decided=100.0)
    assert other_job.come_as_far_as(known).decided == 60.0
    other_ticks = replace(MINUTELY, timing=Timing(every=30), decided=100.0)
    following = other_ticks.come_as_far_as(known)
    assert (following.decided, following.last) == (100.0, known.last)
    assert replace(MINUTELY, decided=100.0).come_as_far_as(known) == known


def test_what_is_kept_reads_back() -> None:
    schedule = replace(decide(MINUTELY, 60.0, busy=False).schedule, pause=Pause("ann", 1.5, "gone"), declared=True)
    assert load_schedule(schedule.dump()) == schedule


@pytest.mark.parametrize("values", [{"name": "A"}, {"name": "a@b"}, {"bound": 0}, {"bound": 1_001}, {"grace": -1.0}])
def test_what_cannot_work_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"name|bound|grace"):
        replace(MINUTELY, **values)  # type: ignore[arg-type]  # wrong on purpose
