"""What people have changed by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence

from jobkit.backends.redis.scripts import Argument
from jobkit.backends.redis.submit import store_script
from jobkit.ports.audit import Action
from jobkit.ports.rules import keepable_note

NOTE = store_script("note_action")
ACTIONS = store_script("actions")


def note_arguments(keep: int, *said: str) -> tuple[Argument, ...]:
    """Return what the script is told."""
    return json.dumps([keepable_note(one) for one in said]), str(keep)


def action(row: Sequence[bytes]) -> Action:
    """Return the action in a row."""
    number, at, said = row
    by, what, subject, detail = json.loads(said)
    return Action(int(number), float(at), by, what, subject, detail)
