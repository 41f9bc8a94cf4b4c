"""Schedules: what the server is asked to keep of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobkit.backends.redis import submit
from jobkit.backends.redis.scripts import Argument
from jobkit.backends.redis.submit import accepting_script, store_script
from jobkit.ports.schedules import KeptSchedule
from jobkit.ports.store import NewJob, SubmitAnswer

WALL_TIME = store_script("wall_time")
ALL = store_script("schedules", "schedule_rows")
ONE = store_script("schedule", "schedule_rows")
DUE = store_script("schedules_due", "schedule_rows")
SAVE = accepting_script("save_schedule", "schedule_rows")
REMOVE = store_script("remove_schedule", "schedule_rows")
SEE = store_script("see_schedules", "schedule_rows")


def kept(row: Sequence[bytes]) -> KeptSchedule:
    """Return the schedule in a row."""
    name, type, definition, revision, due, seen = row
    return KeptSchedule(
        name.decode(), type.decode(), definition, int(revision), float(due) if due else None, float(seen)
    )


def save_arguments(schedule: KeptSchedule, jobs: Sequence[NewJob]) -> tuple[Argument, ...]:
    """Return the arguments of `SAVE`."""
    due = "" if schedule.due is None else f"{schedule.due:.6f}"
    state = (schedule.name, schedule.type, schedule.definition, str(schedule.revision), due)
    return (*state, *submit.arguments(jobs))


def saved(jobs: Sequence[NewJob], row: Sequence[Any]) -> list[SubmitAnswer] | None:
    """Return what `SAVE` answers."""
    word, *answers = row
    return list(submit.answers(jobs, answers)) if word == b"saved" else None
