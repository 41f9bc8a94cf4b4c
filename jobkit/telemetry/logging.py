"""Logging: one pipeline for structlog and the standard library, set up once by whoever owns the process.

It promises no delivery: a line goes to stderr, and keeping it is the job of whatever reads that. Importing this
module changes nothing; a program that embeds jobkit and logs in its own way never calls `configure_logging`. With
`JOBKIT_LOG_FORMAT=logging` events go to the standard library's logger `jobkit`, and its handlers are somebody else's.

An event is a short plain sentence, what it is about follows as fields:
`log.warning("lease lost", resource=..., token=...)`. What is logged while a job is processed carries `job`, `type`,
`key`, `token` and `attempt` (`merge_work`, for those who log in their own way), and whatever is bound with structlog's
own context variables; a trace and span are added where there is a current one. Levels below the one configured cost one
call that does nothing.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from jobkit.settings import Settings
from jobkit.telemetry.log_context import merge_log_context
from jobkit.telemetry.secrets import REVEALING, without_secrets

LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

# Loggers of libraries that are too chatty at "info": a line for each probe of a health port.
_CHATTY = ("uvicorn.access",)
_UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access")

# Characters of one field, or of a traceback.
_LONGEST_FIELD = 16_000

# What an event gets from where it happens.
_CONTEXT: tuple[Processor, ...] = (structlog.contextvars.merge_contextvars, merge_log_context)

# The only list ever given to structlog. A logger keeps the list that it was first used with, so a second call of
# `configure_logging` has to change this one in place to reach the loggers there are.
_processors: list[Processor] = []


def configure_logging(settings: Settings, *, at_least: str = "debug", stream: TextIO | None = None) -> None:
    """Send what structlog and the standard library log to stderr, as `settings` say. May be called again.

    `at_least` is the lowest level that is let through whatever `log_level` says. `stream` replaces stderr.
    """
    level = max(LEVELS[settings.log_level], LEVELS[at_least])
    if settings.log_format == "logging":
        _hand_to_standard_library(level)
        return
    renderer = _renderer(settings.log_format, stream or sys.stderr)
    writer = LineWriter(stream)
    shared = _shared(writer)
    _processors[:] = [*_CONTEXT, structlog.processors.add_log_level, *shared, *renderer]
    structlog.configure(
        processors=_processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: writer,
        cache_logger_on_first_use=True,
    )
    foreign = [*_CONTEXT, structlog.stdlib.add_log_level, _logger_name, *shared, _foreign_text]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=foreign, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer]
    )
    _configure_standard_library(level, formatter, writer)


def _hand_to_standard_library(level: int) -> None:
    """Make structlog's events records of the logger `jobkit`; what becomes of those is decided elsewhere."""
    _processors[:] = [*_CONTEXT, _add_trace, _as_record]
    structlog.configure(
        processors=_processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    logging.getLogger("jobkit").setLevel(level)


def _as_record(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Return the arguments of a call of a standard logger: one line of text, and the fields beside it as `fields`.

    They are one attribute of the record, because a field such as `name` would be taken for the record's own.
    """
    exc_info = event.pop("exc_info", None)
    text = str(event.pop("event", ""))
    shown = [f"{name}={value!r}" for name, value in event.items()]
    message = _written_out(_cut(" ".join([text, *shown])), "")
    # A traceback is the handler's to write, and `%` in the text is no placeholder while there are no arguments.
    return {"msg": message, "exc_info": exc_info, "extra": {"event": text, "fields": dict(event)}}


class LineWriter:
    """Writes whole lines to one stream, or to whatever `sys.stderr` is at that moment.

    It never raises: no job may fail because nobody can read along. Lines that could not be written are counted, and
    the next one that can be says so, in `log_lines_lost`.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.lost = 0

    def msg(self, message: str) -> None:
        """Write `message` as one line, in one call, so that lines of several threads do not mix."""
        stream = self._stream or sys.stderr
        try:
            stream.write(message + "\n")
            stream.flush()
        except (OSError, ValueError, AttributeError):  # the reader is gone, the stream closed, or there is none
            self.lost += 1
        else:
            self.lost = 0

    log = debug = info = warning = warn = error = exception = critical = fatal = failure = err = msg

    def note_lost(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Add to this event how many before it were lost."""
        if self.lost:
            event["log_lines_lost"] = self.lost
        return event


class _Handler(logging.Handler):
    """The standard library's way to the same stream; its type marks the handler as ours."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001  (a handler must never raise into whoever logs; this reports on stderr)
            self.handleError(record)
        else:
            self._writer.msg(line)


def _configure_standard_library(level: int, formatter: logging.Formatter, writer: LineWriter) -> None:
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, _Handler):
            root.removeHandler(handler)
    ours = _Handler(writer)
    ours.setFormatter(formatter)
    root.addHandler(ours)
    root.setLevel(level)
    logging.captureWarnings(True)
    for name in _UVICORN:
        # Uvicorn brings handlers of its own, which would say each line twice and in another format.
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in REVEALING:
        logging.getLogger(name).setLevel(max(level, logging.INFO))
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.NOTSET if level <= logging.DEBUG else logging.WARNING)


def _shared(writer: LineWriter) -> list[Processor]:
    """Return what every event goes through, whoever logged it."""
    return [
        _add_trace,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        writer.note_lost,
    ]


def _renderer(format: str, stream: TextIO) -> list[Processor]:
    """Return the processors that make the line."""
    if format == "text" or (format == "auto" and stream.isatty()):
        colors = stream.isatty() and not os.environ.get("NO_COLOR")
        # The plain traceback: a prettier one shows local variables, and with them whatever secret they hold.
        formatter = _bounded_traceback
        return [
            _short_time,
            _bounded,
            _printable,
            structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=formatter, sort_keys=False),
        ]
    return [
        structlog.processors.format_exc_info,
        _bounded,
        _head_first,
        structlog.processors.JSONRenderer(default=_jsonable),
    ]


def _add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Name the current span, so that a log line leads to its trace."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def _logger_name(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the logger's name to events of other libraries."""
    record = event.get("_record")
    if isinstance(record, logging.LogRecord):
        event["logger"] = record.name
    return event


def _foreign_text(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Write a traceback out, and take secrets out of all that a library said."""
    event = structlog.processors.format_exc_info(logger, method, event)
    for field, value in event.items():
        if isinstance(value, str):
            event[field] = without_secrets(value)
    return event


def _short_time(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Cut the time to milliseconds: `2026-05-06T07:08:09.123Z`."""
    event["timestamp"] = f"{event['timestamp'][:23]}Z"
    return event


def _bounded(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Cut what is too long for a line: an error's message may quote all that it was given."""
    for field, value in event.items():
        if isinstance(value, str) and len(value) > _LONGEST_FIELD:
            event[field] = _cut(value)
    return event


def _cut(text: str) -> str:
    if len(text) <= _LONGEST_FIELD:
        return text
    half = _LONGEST_FIELD // 2
    return f"{text[:half]} [... {len(text) - 2 * half} characters ...] {text[-half:]}"


def _bounded_traceback(stream: TextIO, error: ExcInfo) -> None:
    """Write a traceback, cut like any other text."""
    whole = io.StringIO()
    structlog.dev.plain_traceback(whole, error)
    stream.write(_written_out(_cut(whole.getvalue()), "\n"))


def _printable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep each field on its line: a key or an error from outside may hold line breaks and terminal commands."""
    for field, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[field] = _written_out(value, "\n" if field in ("exception", "stack") else "")
    return event


def _written_out(text: str, kept: str) -> str:
    """Return `text` with what does not print written out, but for the characters `kept`."""
    shown = (part if part.isprintable() or part in kept else f"\\u{ord(part):04x}" for part in text.rstrip())
    return "".join(shown)


def _head_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Begin each JSON line with what the eye looks for."""
    head = {"timestamp": event["timestamp"], "level": event["level"], "event": event["event"]}
    return {**head, **event}


def _jsonable(value: Any) -> Any:
    """Return something that JSON can say for a field that it cannot; a secret says only that it is one."""
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
