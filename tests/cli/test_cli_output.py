"""Tables and words for people: 80 columns, ages, no colour where there is no terminal."""

from __future__ import annotations

import os
import pty
import select
import struct
import subprocess
import termios
from fcntl import ioctl
from pathlib import Path

import pytest

from jobkit.cli.output import Output, age, moment, plain
from tests.cli.world import COMMAND, World, environment


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3, "0s"),
        (0.9, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (3599, "59m"),
        (3600, "1h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (400 * 86_400, "400d"),
    ],
)
def test_ages_are_shown_in_their_largest_unit(seconds: float, shown: str) -> None:
    assert age(seconds) == shown


def test_a_moment_is_shown_as_age_and_date() -> None:
    assert moment(1_000_000_000.0, 1_000_000_300.0) == "5m ago (2001-09-09 01:46:40Z)"
    assert moment(None, 0.0) == "-"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ümläut 漢字", "plain ümläut 漢字"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\u202eright to left", "\\u202eright to left"),
        ("\udcff", "\\udcff"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_what_does_not_print_is_written_out(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_without_a_terminal_nothing_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 500
    Output(as_json=False).table(("A", "B"), [("1", long), ("2", "short")], whole="A")
    assert long in capsys.readouterr().out


def test_text_in_a_table_is_not_read_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).table(("A",), [("[bold]:smile:[/bold]",)], whole="A")
    assert "[bold]:smile:[/bold]" in capsys.readouterr().out


def _on_a_terminal(directory: Path, *words: str, answer: str = "", **variables: str) -> tuple[int, str]:
    """Run a command on a terminal of 80 columns; return its exit code and all that was shown."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = environment(TERM="xterm", **variables)
    for name in ("COLUMNS", "LINES", "FORCE_COLOR"):
        env.pop(name, None)
    # A terminal of its own, so that Ctrl-C on it reaches the command and nobody else.
    with subprocess.Popen(
        [*COMMAND, *words], cwd=directory, env=env, preexec_fn=lambda: os.login_tty(theirs)
    ) as process:
        os.close(theirs)
        shown = b""
        while part := _read(ours, answer.encode() if b"[y/N]" in shown else b""):
            shown += part
        os.close(ours)
    return process.returncode, shown.decode()


def _read(terminal: int, typed: bytes) -> bytes:
    """Return what is shown next; type whenever nothing is for a while."""
    try:
        # Again and again: as it begins to read, a terminal may throw away what was typed before.
        while not select.select([terminal], [], [], 0.3)[0]:
            os.write(terminal, typed)
        return os.read(terminal, 65_536)
    except OSError:
        return b""  # the way a terminal says that nobody is on its other side any more


def test_tables_fit_a_terminal_of_80_columns_and_keep_the_id_whole(world: World, tmp_path: Path) -> None:
    job = world.accepted("note", {"about": "a subject with quite a long name, longer than any table has room for"})
    world.buried(world.accepted("note", {"about": "b" * 70}), reason="a reason that goes on and on " * 5)
    code, shown = _on_a_terminal(tmp_path, "jobs", NO_COLOR="1")
    assert code == 0
    assert job.id in shown
    assert "\x1b[3" not in shown
    for words in (("jobs",), ("dead", "list"), ("leases",)):
        _, shown = _on_a_terminal(tmp_path, *words, NO_COLOR="1")
        assert max(len(line) for line in _without_styles(shown).splitlines()) <= 80


def test_no_color_is_obeyed_on_a_terminal(tmp_path: Path) -> None:
    colored, uncolored = (_on_a_terminal(tmp_path, "doctor", **extra)[1] for extra in ({}, {"NO_COLOR": "1"}))
    assert "\x1b[1;32m" in colored
    assert "\x1b[3" not in uncolored


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 0), ("n\n", 1, 1), ("\x03", 130, 1), ("\x04", 130, 1)])
def test_purge_asks_on_a_terminal_and_does_what_it_is_told(
    world: World, tmp_path: Path, answer: str, code: int, left: int
) -> None:
    world.unreadable(b"?")
    ended, shown = _on_a_terminal(tmp_path, "dead", "purge", "--all", answer=answer)
    assert "Delete 1 dead letter for good? [y/N]" in shown
    assert ended == code, shown
    assert "Traceback" not in shown
    assert world.ask(lambda planes: planes.inspection.counts()).dead == left


def test_a_wait_on_a_terminal_shows_a_bar(world: World, tmp_path: Path) -> None:
    with world.worker("note"):
        payload = '{"about": "tea", "text": "milk", "seconds": 0.8}'
        code, shown = _on_a_terminal(tmp_path, "submit", "note", "--payload", payload, "--wait")
    assert code == 0
    assert "━" in shown
    assert "100%" in shown
    assert '"said": "milk"' in shown


def _without_styles(text: str) -> str:
    import re

    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
