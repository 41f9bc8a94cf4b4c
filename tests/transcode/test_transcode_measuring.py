"""What is made of figures that were measured: a table, a chart, and a file that is gone on with."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from jobkit.cli.exit_codes import message_of
from workers.transcode.measuring import __main__ as measuring
from workers.transcode.measuring import runs as measured_runs
from workers.transcode.measuring.chart import svg
from workers.transcode.measuring.course import Course, Figure
from workers.transcode.measuring.runs import PLAIN, SPLIT, WHOLE, killed, runs
from workers.transcode.measuring.site import NotMade
from workers.transcode.measuring.table import markdown, rows

COURSE = Course(60, (1920, 1080), "medium", (1080, 480), chunk=12, ttl=5)
DEFAULT = Course(60, (1920, 1080), "medium", (1080, 720, 480, 360, 240), chunk=12, ttl=5)
FIGURES = [
    Figure(PLAIN, 0, 100, 200),
    Figure(WHOLE, 1, 104, 210, memory=90_000_000),
    Figure(SPLIT, 2, 103, 214.2, memory=95_000_000, joining=3.09),
    Figure(killed(0.9), 2, 120, None),
]


def test_each_figure_is_seen_beside_the_one_that_it_is_to_be_compared_with() -> None:
    assert [row[-1] for row in rows(COURSE, FIGURES)] == [
        "",
        "+5.0% processor time of plain ffmpeg",
        "+2.0% processor time of one piece",
        "+17.0 s for the kill",
    ]
    assert next(iter(rows(COURSE, FIGURES)))[2:6] == ("100.0", "200.0", "0.60", "0.30")
    assert list(rows(COURSE, FIGURES))[-1][2:6] == ("120.0", "", "0.50", "")


def test_table_tells_what_was_wanted_of_all_together() -> None:
    text = markdown(COURSE, FIGURES)
    assert "2 workers took 1.03 of the time of plain ffmpeg" in text
    assert "Putting together, by 2: 3.1 s, 3.0% of the whole" in text
    assert "95 MB at most" in text


def test_table_of_one_figure_compares_nothing() -> None:
    assert [row[-1] for row in rows(COURSE, FIGURES[2:3])] == [""]


def test_chart_has_a_bar_for_each_figure_as_long_as_it_was_fast() -> None:
    chart = ElementTree.fromstring(svg(COURSE, FIGURES))  # noqa: S314  (our own)
    bars = [float(each.attrib["width"]) for each in chart if "x" in each.attrib and each.tag.endswith("rect")]
    assert len(bars) == len(FIGURES)
    assert bars[0] / bars[3] == pytest.approx(1.2, rel=0.01)


def test_figures_that_are_there_are_not_measured_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    file = tmp_path / "figures.jsonl"
    names = [*runs(COURSE, (2,), (0.9,))]
    assert names == ["plain", "whole", "split-2", "kill-0.9"]
    for name, figure in zip(names, FIGURES, strict=True):
        measuring._keep(file, DEFAULT, name, figure)
    chart = tmp_path / "chart.svg"
    arguments = ["--only", *names, "--kill", "0.9", "--figures", str(file), "--chart", str(chart), "--json"]
    assert measuring.main(arguments) == 0
    assert [one["what"] for one in json.loads(capsys.readouterr().out)][:2] == [PLAIN, WHOLE]
    assert chart.read_text() == svg(DEFAULT, FIGURES)


def test_figures_of_another_course_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "figures.jsonl"
    measuring._keep(file, COURSE, "plain", FIGURES[0])
    measuring._keep(file, DEFAULT, "whole", FIGURES[1])
    assert measuring._known(file, COURSE) == {"plain": FIGURES[0]}
    assert measuring._known(file, DEFAULT) == {"whole": FIGURES[1]}
    assert measuring._known(tmp_path / "none", COURSE) == {}


def test_a_run_that_there_is_not_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        measuring.main(["--only", "plan"])
    assert "--only: there is no run plan; there are plain, whole, " in capsys.readouterr().err


def test_no_figure_is_of_a_kill_that_did_not_happen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [(0.5, [7]), (1.0, list[int]())]
    ended: list[int] = []
    lent = SimpleNamespace(look=lambda: None, kill=ended.append, memory=1)

    async def transcoded(*_: object, on_look: Callable[[float, list[int]], None], **__: object) -> tuple[float, None]:
        for look in looks:
            on_look(*look)
        return 1.0, None

    monkeypatch.setattr(measured_runs, "transcoded", transcoded)
    monkeypatch.setattr(measured_runs, "site", lambda *_: nullcontext(lent))
    wanted = runs(COURSE, (2,), (0.5, 0.9))
    # What a killed worker has used is told to nobody.
    assert wanted["kill-0.5"](tmp_path, tmp_path) == Figure(killed(0.5), 2, 1.0, None, 1)
    with pytest.raises(NotMade, match="no worker was at work at 90%"):
        wanted["kill-0.9"](tmp_path, tmp_path)
    assert ended == [7]
    assert message_of(NotMade("the job is dead")) == "the job is dead"
