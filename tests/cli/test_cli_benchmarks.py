"""`jobkit bench NAME`: the benchmark of a plugin gets the words behind its name, and its exit code is the command's."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobkit.cli.app import app
from jobkit.plugin import benchmarks

_told: list[Sequence[str]] = []


def measured(words: Sequence[str]) -> int:
    _told.append(words)
    return 1


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        EntryPoint("films", f"{__name__}:measured", benchmarks.ENTRY_POINT_GROUP),
        EntryPoint("broken", "no_such_module:main", benchmarks.ENTRY_POINT_GROUP),
    ]

    def found(group: str, name: str | None = None) -> list[EntryPoint]:
        return [entry for entry in entries if entry.group == group and name in (None, entry.name)]

    monkeypatch.setattr(benchmarks, "entry_points", found)


@pytest.mark.usefixtures("installed")
def test_benchmark_gets_its_words_and_gives_the_exit_code() -> None:
    _told.clear()
    result = CliRunner().invoke(app, ["bench", "films", "--seconds", "60", "--help", "x"])
    assert result.exit_code == 1
    assert _told == [["--seconds", "60", "--help", "x"]]


@pytest.mark.usefixtures("installed")
def test_benchmark_that_does_not_load_is_told() -> None:
    result = CliRunner().invoke(app, ["bench", "broken"])
    assert result.exit_code == 2
    assert "benchmark 'broken' (no_such_module:main) does not load" in result.output


@pytest.mark.usefixtures("installed")
def test_help_lists_benchmarks_that_do_not_load() -> None:
    result = CliRunner().invoke(app, ["bench", "--help"])
    assert result.exit_code == 0
    assert "broken" in result.output
    assert "films" in result.output


@pytest.mark.usefixtures("installed")
def test_name_of_no_benchmark_is_no_command() -> None:
    result = CliRunner().invoke(app, ["bench", "nothing"])
    assert result.exit_code == 2
    assert "nothing" in result.output


def test_benchmarks_that_come_with_jobkit_can_be_loaded() -> None:
    named = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    entries = named["project"]["entry-points"][benchmarks.ENTRY_POINT_GROUP]
    assert [*entries] == ["transcode"]
    assert callable(EntryPoint("transcode", entries["transcode"], benchmarks.ENTRY_POINT_GROUP).load())
