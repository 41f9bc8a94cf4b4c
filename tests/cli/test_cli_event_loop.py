"""Which event loop a command runs on: a worker has the one that the settings name, a short command asyncio's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from jobkit.cli import session as sessions
from jobkit.cli.output import Output
from jobkit.cli.session import CommandSession
from jobkit.errors import ConfigurationError
from jobkit.model.clock import SystemClock
from jobkit.ports.planes import Planes
from jobkit.settings import Settings, load_settings

pytest.importorskip("uvloop")


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandSession:
    monkeypatch.chdir(tmp_path)
    return CommandSession(Settings(), SystemClock(), Output(as_json=False))


async def loop_of(_planes: Planes) -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_what_runs_long_has_uvloop_and_a_short_command_does_not(session: CommandSession) -> None:
    assert session.call(loop_of, create=True, long_running=True) == "uvloop"
    assert session.call(loop_of) == "asyncio"


def test_the_setting_goes_without_it(session: CommandSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_EVENT_LOOP", "asyncio")
    chosen = CommandSession(load_settings(()), session.clock, session.out)
    assert chosen.call(loop_of, create=True, long_running=True) == "asyncio"


def test_where_it_is_not_installed_nothing_is_missed(session: CommandSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "find_spec", lambda _name: None)
    assert session.call(loop_of, create=True, long_running=True) == "asyncio"


def test_another_loop_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_EVENT_LOOP", "trio")
    with pytest.raises(ConfigurationError, match="JOBKIT_EVENT_LOOP: use uvloop or asyncio"):
        load_settings(())
