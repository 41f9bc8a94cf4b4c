"""A change that operators can make: what it would do is said first, and then it is done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote

from jobkit.errors import JobkitError
from jobkit.web.page import NotFound, View


class Refused(JobkitError):
    """The change could not be made; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A field of the form: without a `label` it is not shown; `long` is for text of many lines."""

    name: str
    label: str = ""
    value: str = ""
    choices: tuple[str, ...] = ()
    long: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a change would do, and what is asked for it; `back` is a path."""

    title: str
    text: str
    button: str
    back: str
    grave: bool = True
    asks: tuple[Ask, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """What was changed, for the audit log and for whoever did it; `go_to` is the path to go on to."""

    subject: str
    detail: str
    said: str
    go_to: str


@dataclass(frozen=True, slots=True)
class Action:
    """One kind of change."""

    name: str
    propose: Callable[[View], Awaitable[Proposal]]
    carry_out: Callable[[View], Awaitable[Done]]


WHY = (Ask("reason", "Why? Everybody who looks is told."),)


def job_path(id: str) -> str:
    """Return the path of a job's page."""
    return f"/jobs/{quote(id, safe='')}"


def told(view: View, name: str) -> str:
    """Return what was said under a name. Raises `NotFound` where nothing was."""
    said = view.said(name)
    if said is None:
        raise NotFound(f"This needs to be told {name}.")
    return said


def many(count: int, what: str) -> str:
    """Return a number of things in words."""
    return f"1 {what}" if count == 1 else f"{count:,} {what}s"
