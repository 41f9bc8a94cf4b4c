"""`jobkit new-plugin`: what it makes works before anything in it is changed, and nothing is ever overwritten."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from jobkit.cli.plugin_template import plugin_files
from tests.cli.conftest import Shell
from tests.cli.world import environment


def _run(directory: Path, *words: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=directory,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_new_plugin_passes_its_own_test(shell: Shell, tmp_path: Path) -> None:
    result = shell("new-plugin", "word-count")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "word-count\n"
    said = _run(tmp_path / "word-count", "-m", "pytest", "-q", "-p", "no:asyncio", "-W", "error")
    assert "2 passed" in said


def test_a_new_plugin_is_loaded_and_serves_its_type(shell: Shell, tmp_path: Path) -> None:
    shell("new-plugin", "word-count")
    source = str(tmp_path / "word-count" / "src")
    payload = '{"document": "haiku", "text": "an old silent pond"}'
    words = ("-m", "jobkit", "submit", "word-count", "--payload", payload)
    assert _run(tmp_path, *words, JOBKIT_PLUGINS="word_count", PYTHONPATH=source).strip()


@pytest.mark.slow
def test_a_new_plugin_is_strictly_typed_and_tidy(shell: Shell, tmp_path: Path) -> None:
    shell("new-plugin", "word-count")
    plugin = tmp_path / "word-count"
    _run(plugin, "-m", "mypy", "--strict", "src", "tests", MYPYPATH="src")
    _run(plugin, "-m", "ruff", "check", "--select", "E,F,W,I,B,UP", "--line-length", "120", ".")
    _run(plugin, "-m", "ruff", "format", "--check", "--line-length", "120", ".")


@pytest.mark.parametrize("name", ["a", "thumb2", "video-thumbnails", "under_score"])
def test_names_become_modules_and_entry_points(name: str) -> None:
    files = plugin_files(name, "1.2.3")
    module = name.replace("-", "_")
    project = tomllib.loads(files["pyproject.toml"])
    assert project["project"]["name"] == name
    assert project["project"]["entry-points"]["jobkit.processors"] == {name: f"{module}:{module}"}
    assert project["project"]["dependencies"] == ["jobkit-fenced>=1.2.3"]
    for path, text in files.items():
        assert "$" not in text, path
        if path.endswith(".py"):
            compile(text, path, "exec")


@pytest.mark.parametrize("name", ["", "Word", "1word", "word-", "word--count", "wörter", "../word", "a" * 51])
def test_a_name_that_cannot_work_is_refused(shell: Shell, tmp_path: Path, name: str) -> None:
    result = shell("new-plugin", "--", name)
    assert result.exit_code == 2
    assert "use lower-case letters" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "why"), [("class", "word of the Python language"), ("json", "already a module"), ("jobkit", "already")]
)
def test_a_name_that_is_taken_is_refused(shell: Shell, tmp_path: Path, name: str, why: str) -> None:
    result = shell("new-plugin", name)
    assert result.exit_code == 2
    assert why in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "word-count").mkdir()
    (tmp_path / "word-count" / "README.md").write_text("mine")
    result = shell("new-plugin", "word-count")
    assert result.exit_code == 2
    assert "nothing is overwritten" in result.stderr
    assert [path.name for path in (tmp_path / "word-count").iterdir()] == ["README.md"]


def test_the_place_can_be_chosen(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    assert shell("new-plugin", "word-count", "--path", "plugins").exit_code == 0
    assert (tmp_path / "plugins" / "word-count" / "pyproject.toml").is_file()
    result = shell("new-plugin", "word-count", "--path", "nowhere")
    assert result.exit_code == 2
    assert "--path nowhere: no such directory" in result.stderr
