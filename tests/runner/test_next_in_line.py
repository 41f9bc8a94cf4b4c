"""Turns: the most urgent first, and a share for all that wait."""

from __future__ import annotations

import random
from collections import Counter

from jobkit.model.priority import Priority
from jobkit.runner.next_in_line import LOW_SHARE, NORMAL_SHARE, Turns

HIGH, NORMAL, LOW = Priority


def test_the_most_urgent_is_next_and_of_those_the_first_that_came() -> None:
    turns: Turns[str] = Turns()
    for name, priority in (("l", LOW), ("n1", NORMAL), ("n2", NORMAL), ("h1", HIGH), ("h2", HIGH)):
        turns.add(name, priority)
    assert list(turns) == ["h1", "h2", "n1", "n2", "l"]
    assert [turns.next() for _ in range(len(turns))] == ["h1", "h2", "n1", "n2", "l"]
    assert len(turns) == 0


def test_what_waits_no_longer_has_no_turn() -> None:
    turns: Turns[str] = Turns()
    for name in "abc":
        turns.add(name, NORMAL)
    turns.remove("b", NORMAL)
    assert [turns.next() for _ in range(2)] == ["a", "c"]


def test_while_all_wait_each_has_its_share() -> None:
    turns: Turns[Priority] = Turns()
    for priority in Priority:
        for _ in range(1_000):
            turns.add(priority, priority)
    order = [turns.next() for _ in range(300)]
    for priority, share in ((LOW, LOW_SHARE), (NORMAL, NORMAL_SHARE)):
        for first in range(len(order) - share + 1):
            assert priority in order[first : first + share], first
    counts = Counter(order)
    assert counts[HIGH] > counts[NORMAL] > counts[LOW]


def test_none_is_passed_over_for_longer_than_its_share_however_they_come() -> None:
    for seed in range(50):
        rng = random.Random(seed)
        turns: Turns[tuple[Priority, int]] = Turns()
        since: dict[Priority, int | None] = dict.fromkeys((NORMAL, LOW))
        for number in range(500):
            for priority in rng.choices(list(Priority), [3, 1, 1], k=rng.randint(0, 3)):
                turns.add((priority, number), priority)
            for priority in since:
                waits = any(one[0] is priority for one in turns)
                since[priority] = (since[priority] or 0) if waits else None
            if not turns:
                continue
            chosen, _ = turns.next()
            for priority, passed in since.items():
                if passed is not None:
                    since[priority] = 0 if chosen is priority else passed + 1
            assert (since[NORMAL] or 0) < NORMAL_SHARE, seed
            assert (since[LOW] or 0) < LOW_SHARE, seed


def test_where_nobody_uses_priorities_all_is_first_come_first_served() -> None:
    turns: Turns[int] = Turns()
    for number in range(100):
        turns.add(number, NORMAL)
    assert [turns.next() for _ in range(100)] == list(range(100))
