"""Each command interrupted, or left alone by its backends, at each of the calls that it makes: it ends with a word.

Workers and exporters set up the whole process, so they are interrupted in one of their own (`test_cli_processes.py`,
`test_cli_exporter.py`).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import structlog

from jobkit.backends.sqlite.engine import Engine
from jobkit.errors import Unavailable
from jobkit.model.plane import Plane
from tests.cli.conftest import Shell
from tests.cli.world import World

NOTE = ("submit", "note", "--payload", '{"about": "tea"}')
ANSWERED = [
    NOTE,
    (*NOTE, "--wait"),
    ("status", "waiting"),
    ("jobs",),
    ("leases",),
    ("workers", "list"),
    ("limits",),
    ("dead", "list"),
    ("dead", "show", "buried"),
    ("dead", "requeue", "--all"),
    ("dead", "purge", "--all", "--yes"),
    ("gaps", "list"),
    ("pauses",),
    ("pause", "note"),
    ("schedules", "list"),
    ("cancel", "--type", "refusal", "--yes"),
    ("republish", "--type", "note", "--yes"),
    ("state", "speech", "tea"),
    ("rebuild",),
    ("verify",),
    ("doctor",),
]
# Commands do the same things again and again; what is special comes early.
MOST_CALLS = 5

Call = Callable[..., Awaitable[Any]]


class Fault:
    """Does something to one of the calls to the database, counted from 0."""

    def __init__(self, do: Callable[[Plane], Awaitable[None]], *, lasts: bool) -> None:
        self._do = do
        self._lasts = lasts
        self.at = 0
        self.seen = 0

    def around(self, call: Call) -> Call:
        async def called(engine: Engine, plane: Plane, *asked: Any, **named: Any) -> Any:
            number, self.seen = self.seen, self.seen + 1
            if number == self.at or (self._lasts and number > self.at):
                await self._do(plane)
            return await call(engine, plane, *asked, **named)

        return called


async def interrupt(_: Plane) -> None:
    """Press Ctrl-C, with the call under way."""
    os.kill(os.getpid(), signal.SIGINT)
    await anyio.sleep(0.1)


async def refuse(plane: Plane) -> None:
    """Be away from now on."""
    raise Unavailable(plane, "it went away")


@pytest.fixture
def jobs(world: World) -> None:
    world.accepted("note", {"about": "tea"}, id="waiting")
    world.buried(world.accepted("refusal", {"about": "tea"}, id="buried"), reason="rejected")
    world.committed(world.accepted("speech", {"about": "tea"}), result=b"0")


def _each_call(shell: Shell, monkeypatch: pytest.MonkeyPatch, fault: Fault, words: tuple[str, ...]) -> list[int]:
    """Run a command with a fault at its first call, then at its second, and so on; return the exit codes."""
    codes = []
    monkeypatch.setattr(Engine, "call", fault.around(Engine.call))
    while fault.at < MOST_CALLS:
        fault.seen = 0
        result = shell(*words)
        if fault.seen <= fault.at:
            assert result.exit_code == 0
            break
        assert "Traceback" not in result.output
        assert "fault of jobkit's" not in result.output
        codes.append(result.exit_code)
        fault.at += 1
    assert fault.at > 0, "it asks nothing"
    return codes


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize("words", ANSWERED, ids=" ".join)
def test_ctrl_c_ends_every_command_at_any_moment(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    codes = _each_call(shell, monkeypatch, Fault(interrupt, lasts=False), words)
    assert set(codes) == {130}


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize("words", ANSWERED, ids=" ".join)
def test_a_backend_that_goes_away_is_told_at_any_moment(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    structlog.reset_defaults()
    codes = _each_call(shell, monkeypatch, Fault(refuse, lasts=True), words)
    # What is only told besides may be missing, and a rebuild names the keys that it could not do.
    assert set(codes) <= {3, 0, 1}
    assert codes[0] == 3
