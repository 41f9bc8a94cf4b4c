"""The report says what was seen: figures beside the incident's, charts that fit, and nothing that has to be fetched."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from jobkit.lab.drill import DrillPlan, DrillReport, Loss, Protection, comparison, render
from jobkit.lab.drill.fence_trial import LateWrite
from jobkit.lab.drill.html_report import _round_up
from jobkit.lab.drill.late_commit import Lateness
from jobkit.lab.drill.sampling import Sample
from jobkit.lab.drill.script import Phase, script_for
from jobkit.lab.drill.verdict import DrillViolation, Judgement

LATE = tuple(LateWrite(lateness, "the store refused it", tried=True, refused=True) for lateness in Lateness)
VOID = {"meta", "link", "br", "rect", "line", "polyline"}


def report(*violations: DrillViolation, **changes: object) -> DrillReport:
    judged = Judgement(900, 0, 0, 0, 100, 0, 100, 0, 0, violations)
    samples = [Sample(float(at), Phase.NORMAL, at // 30, 10 * at, 0, 0.05, 9 * at, 0) for at in range(120)]
    script = script_for(15.0)
    phases = {step.phase: 20.0 * number for number, step in enumerate(script.steps)}
    elections = {"leader/x/0": [3.0, 70.0]}
    whole = DrillReport(DrillPlan(), script, 1.7e9, phases, samples, elections, 0, 0, 4.0, True, LATE, judged)
    return replace(whole, **changes)  # type: ignore[arg-type]


class Balanced(HTMLParser):
    """Fails on a tag that is not closed, or is closed twice."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_fetches_nothing() -> None:
    page = render(report(DrillViolation("order", "<session>", "event 1 & 2", 1.7e9 + 30)))
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert not re.search(r"https?://|src=|@import|<script", page)
    assert "&lt;session&gt;" in page
    assert page.count("<svg") == 6


def test_every_line_of_a_chart_lies_within_it() -> None:
    for line in re.findall(r'class="line" points="([^"]*)"', render(report())):
        for point in line.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 480
            assert 0 <= y <= 204


@pytest.mark.parametrize("seconds", [(4.0, 3.0, 100.0), (40.0, 30.0, 50.0), (1.0, 1.0, 1.0)])
def test_names_of_phases_do_not_run_together(seconds: tuple[float, float, float]) -> None:
    slow, flapping, partitioned = seconds
    phases = {
        Phase.NORMAL: 0.0,
        Phase.SLOW: 10.0,
        Phase.FLAPPING: 10.0 + slow,
        Phase.PARTITIONED: 10.0 + slow + flapping,
        Phase.HEALED: 10.0 + slow + flapping + partitioned,
    }
    page = render(report(phases=phases))
    labels = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="middle">([a-z]+)<', page.split("</figure>")[0])
    assert [name for _, _, name in labels] == ["slow", "flapping", "partitioned"]
    for one, other in itertools.combinations(labels, 2):
        apart = abs(float(one[0]) - float(other[0]))
        assert one[1] != other[1] or apart >= 7 * (len(one[2]) + len(other[2])) / 2, (one, other)


def test_what_is_told_of_embedded_backends_happens_there() -> None:
    script = script_for(15.0, embedded=True)
    phases = {step.phase: 20.0 * number for number, step in enumerate(script.steps)}
    page = render(report(plan=DrillPlan(embedded=True), script=script, phases=phases))
    assert "is paused" in page
    for untrue in ("500 ms", "links", "round trip", "cannot reach", "partitioned<", "slow<"):
        assert untrue not in page, untrue


def test_the_verdict_follows_from_what_was_found() -> None:
    assert report().holds
    assert 'class="verdict good"' in render(report())
    broken = report(DrillViolation("single-effect", "s", "twice"))
    assert not broken.holds
    assert "an invariant broke" in render(broken)
    assert not report(drained=False).holds
    assert not replace(report(), judgement=replace(report().judgement, corrupted_sessions=1)).holds


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {"late_writes": (LateWrite(Lateness.WIRE, "its worker did not come to commit"),)},
            "writes under a lost lease",
        ),
        ({"late_writes": ()}, "writes under a lost lease"),
        ({"healed_after": None}, "lag normal again"),
        ({"elections": {"a": [0.1 * number for number in range(47)]}}, "elections of one leader"),
        ({"samples": [Sample(1.0, Phase.NORMAL, 0, 10, 0, 45.0, 1, 0)]}, "highest lag"),
        ({"samples": [Sample(1.0, Phase.NORMAL, 0, 10, 4, 0.1, 1, 0)]}, "lock acquisitions"),
    ],
)
def test_what_is_no_better_than_the_incident_or_was_not_tried_is_not_green(
    changes: dict[str, object], named: str
) -> None:
    doubtful = report(**changes)
    assert doubtful.holds
    page = render(doubtful)
    assert 'class="verdict good"' not in page
    assert f"but look at: {named}" in page


def test_where_something_is_lost_there_are_no_late_writes_to_look_for() -> None:
    script = script_for(15.0, lose=Loss.BROKER)
    phases = {step.phase: 20.0 * number for number, step in enumerate(script.steps)}
    lost = report(plan=DrillPlan(lose=Loss.BROKER), late_writes=(), script=script, phases=phases)
    assert "under a lost lease" not in [line.name for line in comparison(lost)]
    assert 'class="verdict good"' in render(lost)


def test_a_drill_without_a_protection_says_which() -> None:
    page = render(report(plan=DrillPlan(broken=Protection.WATCH)))
    assert "Without watch" in page
    assert "goes on leading" in page


def test_elections_are_those_of_one_leader_in_its_worst_minute() -> None:
    assert report().elections_per_minute == 1
    assert report(elections={"a": [1.0, 5.0, 60.5, 90.0], "b": [2.0]}).elections_per_minute == 3
    assert report(elections={}).elections_per_minute == 0
    assert comparison(report())[0].now == "1"


def test_the_document_is_json_as_it_is() -> None:
    document = json.loads(json.dumps(report().document()))
    assert document["holds"] is True
    assert len(document["samples"]) == 120


@pytest.mark.parametrize(("highest", "top"), [(0, 4), (0.05, 0.08), (1, 2), (3, 4), (7, 8), (19, 20), (41, 80)])
def test_axes_end_at_numbers_whose_quarters_read_well(highest: float, top: float) -> None:
    assert _round_up(highest) == pytest.approx(top)
