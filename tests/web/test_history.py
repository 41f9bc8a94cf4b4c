"""The last hour in numbers: what is kept, and how often leaders changed."""

from __future__ import annotations

from collections import Counter

from jobkit.ports.inspection import StoreCounts
from jobkit.web.history import EVERY_SECONDS, History
from tests.web.test_live import Clock

_COUNTS = StoreCounts(Counter(), 0, 0, 0, 0, 0)


def test_new_leaders_are_counted_and_the_first_look_is_none() -> None:
    clock = Clock()
    history = History(clock)
    for leaders in (
        {("leader/a/0", 1), ("leader/a/1", 2)},
        {("leader/a/0", 1), ("leader/a/1", 2)},
        None,
        {("leader/a/0", 3)},
    ):
        history.note(_COUNTS, lag=2.0, leaders=leaders)
        clock.time += EVERY_SECONDS
    assert history.rates(lambda sample: sample.elections) == [0.0, 0.0, 1 / EVERY_SECONDS]
    assert history.levels(lambda sample: sample.lag or 0.0) == [2.0] * 4
