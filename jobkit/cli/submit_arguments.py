"""What `jobkit submit` is told, read from text: times, expiry, unique names and the payload."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path

import typer

from jobkit.errors import ConfigurationError
from jobkit.model import due
from jobkit.model.unique import OnConflict, While, told_unique


def read_time(at: str | None, after: float | None) -> tuple[datetime | None, timedelta | None]:
    """Return when the job is to run. Raises `ConfigurationError` where that is no time, or not clear."""
    try:
        when = (None if at is None else datetime.fromisoformat(at), None if after is None else timedelta(seconds=after))
        due.told(*when)
    except OverflowError as error:
        raise ConfigurationError("--after: say a hundred years at most") from error
    except ValueError as error:
        raise ConfigurationError(f"--at and --after: {error}") from error
    return when


def read_expiry(expires: str | None) -> datetime | timedelta | None:
    """Return by when the job has to have begun. Raises `ConfigurationError` where that is no time, or not clear."""
    if expires is None:
        return None
    try:
        try:
            expiry: datetime | timedelta = timedelta(seconds=float(expires))
        except ValueError:
            expiry = datetime.fromisoformat(expires)
        due.told_expiry(expiry)
    except OverflowError as error:
        raise ConfigurationError("--expires: say a hundred years at most") from error
    except ValueError as error:
        raise ConfigurationError(f"--expires: {error}") from error
    return expiry


def read_unique(name: str | None, while_: While, on_conflict: OnConflict) -> tuple[str | None, While, OnConflict]:
    """Return the unique name as it was said. Raises `ConfigurationError` where it is none."""
    try:
        told_unique(name, while_, on_conflict)
    except ValueError as error:
        raise ConfigurationError(f"--unique, --while and --on-conflict: {error}") from error
    return name, while_, on_conflict


def read_payload(argument: str, most: int) -> bytes:
    """Return the JSON that `argument` is or names. Raises `ConfigurationError` where it is none."""
    if argument == "-":
        if os.isatty(0):
            typer.echo("reading the payload from the terminal; end it with Ctrl-D", err=True)
        body, source = sys.stdin.buffer.read(most + 1), "stdin"
    elif argument.startswith("@"):
        source = argument[1:]
        try:
            with Path(source).open("rb") as file:
                body = file.read(most + 1)
        except OSError as error:
            raise ConfigurationError(f"--payload {argument}: {error.strerror}") from error
    else:
        body, source = argument.encode(errors="surrogateescape"), "--payload"
    if len(body) > most:
        raise ConfigurationError(
            f"{source} has more bytes than JOBKIT_MAX_PAYLOAD_BYTES allows ({most}); "
            "put large data in a file and its path in the payload"
        )
    try:
        json.loads(body)
    except (ValueError, RecursionError) as error:
        hint = f"; to read it from the file, say --payload @{argument}" if _names_a_file(argument) else ""
        raise ConfigurationError(f"{source} is not JSON: {error}{hint}") from error
    return body


def _names_a_file(argument: str) -> bool:
    # No longer than a file's name may be, for the question itself fails on such.
    return len(argument) < 256 and Path(argument).is_file()
