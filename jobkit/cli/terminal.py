"""The terminal that a command was started on, or the pipe or file in its place."""

from __future__ import annotations

import sys

from rich.console import Console

# Where there is no terminal whose width matters, a table is as wide as what it holds.
_UNLIMITED_COLUMNS = 10_000


class _PipeConsole(Console):
    """A console that leaves a closed pipe to the one place that knows what to do about it."""

    def on_broken_pipe(self) -> None:
        # Called while the BrokenPipeError is being handled.
        raise


def terminal(*, stderr: bool = False) -> Console:
    """Return a console on stdout or stderr, as that is right now."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _UNLIMITED_COLUMNS
    return _PipeConsole(file=stream, width=width, highlight=False, markup=False, emoji=False)
