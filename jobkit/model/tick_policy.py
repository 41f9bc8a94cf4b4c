"""Which ticks of a schedule fire: those that were missed, and those that find the last job unended."""

from __future__ import annotations

from enum import StrEnum


class Missed(StrEnum):
    """Which of the ticks fire that passed while nobody was there: none, the latest, or all of them, up to a bound."""

    SKIP = "skip"
    LATEST = "latest"
    ALL = "all"


class Overlap(StrEnum):
    """What a tick does while the schedule's last job has yet to end: fire as well, pass, or wait for it."""

    ALLOW = "allow"
    SKIP = "skip"
    WAIT = "wait"
