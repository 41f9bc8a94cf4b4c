from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
import structlog
from typer.testing import CliRunner, Result

from jobkit.cli.app import app
from jobkit.ports.planes import Planes
from tests.cli.world import PLUGIN, World


class Shell(Protocol):
    def __call__(self, *words: str, input: str | bytes | None = None) -> Result: ...


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty directory, no settings but the plugin, no other plugins; whatever a command sets is undone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jobkit.plugin.loading.entry_points", lambda **_: ())
    before = dict(os.environ)
    for name in before:
        if name.startswith("JOBKIT_"):
            del os.environ[name]
    os.environ["JOBKIT_PLUGINS"] = PLUGIN
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def shell() -> Shell:
    """Run a command in this process."""

    def run(*words: str, input: str | bytes | None = None) -> Result:
        return CliRunner().invoke(app, list(words), input=input, prog_name="jobkit")

    return run


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.ask(_nothing)
    return made


async def _nothing(_: Planes) -> None:
    """Open the planes, which makes the database."""
