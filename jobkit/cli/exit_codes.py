"""The one place where an error becomes a message on stderr and an exit code.

Everything else in the command line raises. No traceback is shown unless `--debug` or `JOBKIT_LOG_LEVEL=debug` asks
for it, because what a user can act on is the message.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer

from jobkit.errors import ConfigurationError, JobkitError, Unavailable


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    INTERRUPTED = 130
    # What the shell reports for a program that SIGPIPE ended, so that `set -o pipefail` sees what it expects.
    OUTPUT_CLOSED = 141


class NoAnswer(JobkitError):
    """A backend took longer than a command may take; whether it did what it was asked is unknown."""


class Declined(JobkitError):
    """The question before a change that cannot be undone was not answered with yes; nothing was changed."""


@contextmanager
def explained(*, debug: bool) -> Iterator[None]:
    """Turn an error of the block into one message and `typer.Exit` with its code. Usage errors pass: typer shows them.

    What was printed is flushed inside the block, so that a reader who went away is noticed here, too.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        raise typer.Exit(ExitCode.OUTPUT_CLOSED) from None
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except Exception as error:
        if isinstance(error, typer.Exit) or hasattr(error, "format_message"):
            raise  # typer's own: it has the exit code, or the usage line to show
        told = most_telling(error)
        if debug or os.environ.get("JOBKIT_LOG_LEVEL", "").lower() == "debug":
            _say_traceback(error)
        say(message_of(told))
        raise typer.Exit(exit_code_of(told)) from error


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the exit code of an error."""
    if isinstance(error, ConfigurationError):
        return ExitCode.USAGE
    if isinstance(error, (Unavailable, NoAnswer)):
        return ExitCode.UNREACHABLE
    return ExitCode.FAILED


def message_of(error: BaseException) -> str:
    """Return what to tell the user."""
    if isinstance(error, JobkitError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"unexpected {error.__class__.__name__}: {error}\nThis is a fault of jobkit's; --debug shows where."


def most_telling(error: BaseException) -> BaseException:
    """Return the error in a group that a user can do most about: a setting, then a backend, then any."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    for kind in (ConfigurationError, Unavailable, JobkitError, BaseException):
        part = error.subgroup(kind)
        if part is not None:
            return _first_leaf(part)
    return error


def say(message: str) -> None:
    """Write an error message to stderr; its further lines are indented under the first."""
    # Here, because `jobkit --help` does without.
    from jobkit.cli.output import plain

    # None leaves it to whether stderr is a terminal.
    color = False if os.environ.get("NO_COLOR") else None
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True, color=color)
    # What a server, a job or a file said may be in it, and is not to drive the terminal.
    typer.echo("\n       ".join(plain(line) for line in message.split("\n")), err=True)


def _say_traceback(error: BaseException) -> None:
    """Write a traceback to stderr; what is quoted in it is not to drive the terminal either."""
    from jobkit.cli.output import plain

    lines = "".join(traceback.format_exception(error)).splitlines()
    typer.echo("\n".join(plain(line) for line in lines), err=True)


def _first_leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _discard_output() -> None:
    """Point stdout to nowhere: the interpreter flushes it once more at its end, and would complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
