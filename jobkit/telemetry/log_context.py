"""Which attempt a log line is about: said once for all that is logged while it runs.

It is one context variable, merged by a processor of its own. structlog has one for each field, and to bind and unbind
five of them took a twentieth of a short job's time.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import TracebackType

from structlog.typing import EventDict, WrappedLogger

_about: ContextVar[Mapping[str, object] | None] = ContextVar("jobkit_about", default=None)


class log_context:  # noqa: N801  (used as a `with` statement's function)
    """Have everything that is logged in the block carry these fields."""

    __slots__ = ("_fields", "_token")

    def __init__(self, fields: Mapping[str, object]) -> None:
        self._fields = fields

    def __enter__(self) -> None:
        self._token: Token[Mapping[str, object] | None] = _about.set(self._fields)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _about.reset(self._token)


def merge_log_context(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the fields of the attempt that runs here to a log event, as a structlog processor."""
    fields = _about.get()
    return event if fields is None else {**fields, **event}
