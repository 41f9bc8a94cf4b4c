"""Clocks that disagree are told of, and by how much; a slow answer is no disagreement."""

from __future__ import annotations

import pytest

from jobkit.ports.diagnosis import Status, clock_finding


@pytest.mark.parametrize(("told", "asked", "answered"), [(100, 100, 100), (99, 90, 130), (86, 90, 91), (95.9, 90, 91)])
def test_clocks_agree_where_the_answer_may_have_been_given_at_its_time(
    told: float, asked: float, answered: float
) -> None:
    assert clock_finding(told, asked, answered).status is Status.OK


@pytest.mark.parametrize(
    ("told", "asked", "answered", "what"),
    [(60, 90, 91, "30 s behind"), (121, 90, 91, "30 s ahead of"), (60, 90, 990, "30 s behind")],
)
def test_a_clock_that_is_off_is_told(told: float, asked: float, answered: float, what: str) -> None:
    found = clock_finding(told, asked, answered)
    assert found.status is Status.WARN
    assert found.what == f"its clock is {what} this machine's"
    assert "NTP" in found.change
