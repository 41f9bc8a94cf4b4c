"""What a worker and the process of an attempt say to each other over a socket: pickled messages behind their length."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobkit.plugin.job_info import JobInfo
from jobkit.runner.carried_error import CarriedError

LENGTH = struct.Struct("!Q")

# The exit code of a child that could not even say that its memory was used up.
OUT_OF_MEMORY = 86


@dataclass(frozen=True, slots=True)
class Begin:
    """To the child: what to run. `function` is its place in the module, `body` the payload as JSON."""

    path: list[str]
    module: str
    function: str
    body: bytes
    job: JobInfo
    memory: int | None


@dataclass(frozen=True, slots=True)
class Ask:
    """To the worker: a call of the context, which it answers."""

    name: str
    arguments: tuple[Any, ...]
    named: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """To the child: what the call returned."""

    value: Any


@dataclass(frozen=True, slots=True)
class Log:
    """To the worker: a line for the log, which it does not answer."""

    level: str
    event: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """To the worker: the result, as JSON."""

    result: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """An error: of a call, to the child; of the attempt, to the worker."""

    error: CarriedError


def packed(message: object) -> bytes:
    """Return a message as it is sent. Raises what pickling raises, for what cannot be sent."""
    body = pickle.dumps(message)
    return LENGTH.pack(len(body)) + body


def unpacked(body: bytes) -> Any:
    """Return the message whose bytes these are, without their length."""
    return pickle.loads(body)  # noqa: S301  (between a worker and its own child)
