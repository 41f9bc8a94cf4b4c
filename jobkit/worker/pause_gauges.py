"""How much of each job type is paused, and since when: gauges of the workers, and of the exporter where none lives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jobkit.model.pause import Pause
from jobkit.telemetry import metrics as m


def pause_readings(
    pauses: Sequence[Pause], types: Iterable[str], wall: float
) -> dict[tuple[m.Metric, tuple[str, ...]], float]:
    """Return the readings for each of `types` at a Unix time."""
    found: dict[tuple[m.Metric, tuple[str, ...]], float] = {}
    for type in types:
        since = [pause.since for pause in pauses if pause.scope.type == type]
        found[m.PAUSES, (type,)] = len(since)
        found[m.PAUSE_AGE, (type,)] = max(0.0, wall - min(since)) if since else 0.0
    return found
