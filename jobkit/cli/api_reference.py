"""The reference of the public names, made from their signatures and docstrings; docs/reference.md is this."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import itertools
import re
import textwrap
import typing
from collections.abc import Iterator, Sequence
from typing import Any

import jobkit
import jobkit.errors
import jobkit.files
import jobkit.testing
from jobkit.client.steering import Steering
from jobkit.model.fence import Fence
from jobkit.plugin.blob_writer import BlobWriter
from jobkit.plugin.context_groups import ContextGroups
from jobkit.plugin.job_info import JobInfo
from jobkit.plugin.middleware import AttemptMiddleware, SubmitMiddleware
from jobkit.plugin.sync_context import SyncBlobs
from jobkit.ports.inspection import JobRecord, JobState, LoggedEntry
from jobkit.ports.store import Failure

_PREAMBLE = """\
# Reference

<!-- Made by `jobkit config api`. Do not edit: change the docstrings, and make it again with `make reference`. -->

Every public name of the Python package, with what it takes, returns and raises.
For a first program see the [README](../README.md), for complete ones [examples/](../examples/).
Words such as *key* and *fence* are in the [glossary](glossary.md).
"""


class _Words(typing.NamedTuple):
    """A public type that is a choice of words, and so has no docstring of its own."""

    name: str
    literal: Any
    prose: str


# Bases whose members are told with those of the classes that are made of them.
_PARTS = (Steering, ContextGroups)
# What a program may import, by where it is documented. All that is not here is private and may change at any time.
_SECTIONS: Sequence[tuple[str, str, Sequence[Any]]] = (
    (
        "Declaring jobs",
        "from jobkit import processor, resource, schedule, Payload, Result, RetryPolicy, Processor, Resource\n"
        "from jobkit import DeclaredSchedule, EndState, JobEnd, Notification",
        (
            jobkit.processor,
            jobkit.resource,
            jobkit.schedule,
            jobkit.Payload,
            jobkit.Result,
            jobkit.RetryPolicy,
            jobkit.Processor,
            jobkit.Resource,
            jobkit.DeclaredSchedule,
            jobkit.Notification,
            jobkit.JobEnd,
            _Words("EndState", jobkit.EndState, "The ends of a job that a notification may tell of."),
        ),
    ),
    (
        "Inside of a processor",
        "from jobkit import Context, SyncContext",
        (jobkit.Context, JobInfo, BlobWriter, Fence, jobkit.SyncContext, SyncBlobs),
    ),
    (
        "Around jobs",
        "from jobkit import around_attempt, around_submit, hook, CommittedEvent, FailedEvent, DeadEvent, "
        "CancelledEvent",
        (
            jobkit.around_attempt,
            jobkit.around_submit,
            jobkit.hook,
            jobkit.CommittedEvent,
            jobkit.FailedEvent,
            jobkit.DeadEvent,
            jobkit.CancelledEvent,
            AttemptMiddleware,
            SubmitMiddleware,
        ),
    ),
    ("Limits", "from jobkit import Concurrency, Rate", (jobkit.Concurrency, jobkit.Rate)),
    ("Projections", "from jobkit import Projection", (jobkit.Projection,)),
    (
        "Files that were committed",
        "from jobkit.files import FileSet, CommittedFile, OpenFile, FilesApplication, FileLinks, everyone",
        (
            jobkit.files.FileSet,
            jobkit.files.CommittedFile,
            jobkit.files.OpenFile,
            jobkit.files.FilesApplication,
            jobkit.files.FileLinks,
            jobkit.files.everyone,
        ),
    ),
    (
        "Submitting and watching",
        "from jobkit import connect, Client, SyncClient, Submission, Handle, SyncHandle, Progress, Cancellation\n"
        "from jobkit import PriorityChange, TypeDefinition, ScheduleBook, ScheduleStatus",
        (
            jobkit.connect,
            jobkit.Client,
            jobkit.SyncClient,
            jobkit.Submission,
            jobkit.Handle,
            jobkit.SyncHandle,
            jobkit.Progress,
            jobkit.Cancellation,
            jobkit.TypeDefinition,
            jobkit.PriorityChange,
            jobkit.ScheduleBook,
            jobkit.ScheduleStatus,
            JobRecord,
            JobState,
            Failure,
        ),
    ),
    (
        "Testing",
        "from jobkit.testing import run_job, open_site, in_virtual_time",
        (
            jobkit.testing.run_job,
            jobkit.testing.JobOutcome,
            LoggedEntry,
            jobkit.testing.open_site,
            jobkit.testing.in_virtual_time,
            jobkit.testing.Site,
            jobkit.testing.SiteWorker,
        ),
    ),
)
# What the runtime and the command line call, or what is made for a user and not by one.
_INTERNAL = {
    "Context": {"__init__", "effects", "end", "participants"},
    "BlobWriter": {"__init__"},
    "Client": {"__init__", "changes", "submit_to"},
    "Handle": {"__init__"},
    "SyncClient": {"__init__", "call_with", "wait", "lend", "submit_to"},
    "SyncHandle": {"__init__"},
    "Site": {"__init__"},
    "SiteWorker": {"__init__"},
    "Projection": {"begin", "advance", "record", "snapshot", "dump", "load", "records", "same"},
    "Processor": {"parse", "from_mapping", "key_of", "dump_result", "__init__"},
    "RetryPolicy": {"delay"},
}
_MADE_BY_USERS = {"RetryPolicy", "Concurrency", "Rate", "Projection", "Retry", "Snooze"}


def reference() -> str:
    """Return the reference as Markdown."""
    parts = [_PREAMBLE]
    for title, how, things in _SECTIONS:
        parts += [f"## {title}\n", f"```python\n{how}\n```\n", *(_entry(thing) for thing in things)]
    parts += [
        "## Errors\n",
        "```python\nfrom jobkit.errors import JobkitError  # and so on; Retry, Snooze, Reject: in jobkit, too\n```\n",
        *(_entry(error) for error in _errors()),
    ]
    return "\n".join(parts)


def _errors() -> Iterator[type[Exception]]:
    for thing in vars(jobkit.errors).values():
        if inspect.isclass(thing) and issubclass(thing, jobkit.JobkitError):
            yield thing


def _entry(thing: Any) -> str:
    if isinstance(thing, _Words):
        words = ", ".join(f"`{word}`" for word in typing.get_args(thing.literal))
        return f"### {thing.name}\n\n{thing.prose}\n\n{words}.\n"
    name = thing.__name__
    lines = [f"### {name}\n"]
    if not inspect.isclass(thing):
        return "\n".join([*lines, _code(_signature(name, thing)), _prose(thing), ""])
    if issubclass(thing, Exception):
        lines.append(f"A `{thing.__bases__[0].__name__}`.\n")
    elif name in _MADE_BY_USERS:
        lines.append(_code(_signature(name, thing)))
    lines += [_prose(thing), ""]
    if name in _MADE_BY_USERS and issubclass(thing, Exception):
        lines.insert(2, _code(_signature(name, thing)))
    if issubclass(thing, enum.Enum):
        lines.append(", ".join(f"`{member.value}`" for member in thing) + ".\n")
    elif dataclasses.is_dataclass(thing) and name not in _MADE_BY_USERS:
        fields = [f"`{field.name}`: `{_type(field.type)}`" for field in dataclasses.fields(thing)]
        lines += [*(f"* {field}" for field in fields if not field.startswith("`_")), ""]
    if thing.__module__.startswith("jobkit.") and not issubclass(thing, Exception | enum.Enum):
        lines += [_member(member_name, member) for member_name, member in _members(thing)]
    return "\n".join(lines)


def _members(thing: type[Any]) -> Iterator[tuple[str, Any]]:
    hidden = _INTERNAL.get(thing.__name__, set())
    own = [base for base in thing.__mro__ if base is thing or base in _PARTS]
    for name, member in itertools.chain.from_iterable(vars(base).items() for base in own):
        documented = inspect.isfunction(member) or isinstance(member, property)
        if documented and not name.startswith("_") and name not in hidden:
            yield name, member


def _member(name: str, member: Any) -> str:
    if isinstance(member, property):
        function = typing.cast(Any, member.fget)
        returns = _type(inspect.signature(function).return_annotation)
        return f"#### {name}: `{returns}`\n\n{_prose(member)}\n"
    return "\n".join([f"#### {name}\n", _code(_signature(name, member)), _prose(member), ""])


def _signature(name: str, thing: Any) -> str:
    found = inspect.signature(thing)
    parameters = [
        parameter.replace(annotation=_Plain(parameter.annotation), default=_plain_default(parameter.default))
        for parameter in found.parameters.values()
        if parameter.name != "self"
    ]
    shown = str(found.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    function = inspect.unwrap(thing)
    returns = "" if inspect.isclass(thing) else f" -> {_type(found.return_annotation)}"
    call = f"{name}{shown}{returns}"
    if len(call) > 110 and parameters:
        inner = ",\n    ".join(_separated(shown[1:-1]))
        call = f"{name}(\n    {inner},\n){returns}"
    return ("async " if inspect.iscoroutinefunction(function) else "") + call


def _separated(parameters: str) -> Iterator[str]:
    """Yield what the commas outside of all brackets separate."""
    depth, start = 0, 0
    for at, character in enumerate(parameters):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and not depth:
            yield parameters[start:at].strip()
            start = at + 1
    yield parameters[start:].strip()


class _Plain:
    """An annotation that is written as it stands in the source."""

    def __new__(cls, annotation: Any) -> Any:
        return annotation if annotation is inspect.Parameter.empty else super().__new__(cls)

    def __init__(self, annotation: Any) -> None:
        self._text = _type(annotation)

    def __repr__(self) -> str:
        return self._text


class _Default:
    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _plain_default(default: Any) -> Any:
    """Return a default that is written alike by every version of Python."""
    if isinstance(default, tuple) and default and all(inspect.isclass(item) for item in default):
        return _Default("(" + ", ".join(item.__name__ for item in default) + ",)")
    return default


def _type(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", repr(annotation))
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", text)


def _prose(thing: Any) -> str:
    return textwrap.dedent(inspect.getdoc(thing) or "")


def _code(text: str) -> str:
    return f"```python\n{text}\n```\n"
