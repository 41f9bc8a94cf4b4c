"""Logging: one line for each event, whoever logs it; nothing that could leak, and nothing that could fail a job."""

from __future__ import annotations

import io
import json
import logging
import time
import warnings
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider

from jobkit.settings import Settings
from jobkit.telemetry.log_context import log_context
from jobkit.telemetry.logging import configure_logging
from jobkit.telemetry.secrets import without_secrets


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    """A stream whose reader went away, until it comes back."""

    gone = True

    def write(self, text: str) -> int:
        if self.gone:
            raise BrokenPipeError(32, "Broken pipe")
        return super().write(text)


def _configured(stream: io.StringIO, *, at_least: str = "debug", **settings: Any) -> None:
    configure_logging(Settings.model_validate(settings), stream=stream, at_least=at_least)


def _events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_that_begins_with_what_matters() -> None:
    stream = io.StringIO()
    _configured(stream)
    structlog.get_logger("jobkit").warning("lease lost", resource="note/tea", token=3)
    (event,) = _events(stream)
    assert list(event) == ["timestamp", "level", "event", "resource", "token"]
    assert event["timestamp"].endswith("Z")
    del event["timestamp"]
    assert event == {"level": "warning", "event": "lease lost", "resource": "note/tea", "token": 3}


def test_text_is_for_terminals_and_json_for_the_rest() -> None:
    text, data = Terminal(), io.StringIO()
    _configured(text)
    structlog.get_logger().info("said", to="people")
    _configured(data)
    structlog.get_logger().info("said", to="machines")
    assert "to" in text.getvalue()
    assert not text.getvalue().startswith("{")
    assert _events(data)[0]["to"] == "machines"


def test_no_color_where_there_is_no_terminal_or_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, colored, unwanted = io.StringIO(), Terminal(), Terminal()
    _configured(plain, log_format="text")
    structlog.get_logger().error("said")
    _configured(colored, log_format="text")
    structlog.get_logger().error("said")
    monkeypatch.setenv("NO_COLOR", "1")
    _configured(unwanted, log_format="text")
    structlog.get_logger().error("said")
    assert ["\x1b[" in stream.getvalue() for stream in (plain, colored, unwanted)] == [False, True, False]


@pytest.mark.parametrize("format", ["json", "text"])
def test_levels_below_the_one_set_say_nothing(format: str) -> None:
    stream = io.StringIO()
    _configured(stream, log_format=format, log_level="warning")
    log = structlog.get_logger()
    log.debug("quiet")
    log.info("quiet")
    logging.getLogger("library").info("quiet")
    assert stream.getvalue() == ""
    log.warning("loud")
    logging.getLogger("library").warning("loud")
    assert stream.getvalue().count("loud") == 2


def test_a_command_can_ask_for_less_than_the_settings_do() -> None:
    stream = io.StringIO()
    _configured(stream, log_level="info", at_least="warning")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [event["event"] for event in _events(stream)] == ["loud"]


def test_a_level_that_is_off_costs_a_call_that_does_nothing() -> None:
    _configured(io.StringIO(), log_level="info")
    bound = structlog.get_logger().bind(job="j")
    assert bound.debug("quiet") is None
    assert type(bound).debug.__name__ == "_nop"


def test_the_standard_library_goes_the_same_way() -> None:
    stream = io.StringIO()
    _configured(stream)
    with structlog.contextvars.bound_contextvars(job="j-1"):
        logging.getLogger("uvicorn.error").warning("port %d is taken", 80)
    (event,) = _events(stream)
    del event["timestamp"]
    expected = {"level": "warning", "event": "port 80 is taken", "job": "j-1", "logger": "uvicorn.error"}
    assert event == expected


def test_each_line_is_said_once_however_often_logging_is_set_up() -> None:
    stream = io.StringIO()
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler(stream))
    _configured(stream)
    _configured(stream)
    logging.getLogger("uvicorn").warning("once")
    structlog.get_logger().warning("once")
    assert stream.getvalue().count("once") == 2


def test_probes_of_a_health_port_are_only_worth_a_line_in_debug() -> None:
    stream = io.StringIO()
    _configured(stream, log_level="info")
    logging.getLogger("uvicorn.access").info("GET /live")
    assert stream.getvalue() == ""
    _configured(stream, log_level="debug")
    logging.getLogger("uvicorn.access").info("GET /live")
    assert "GET /live" in stream.getvalue()


def test_warnings_of_python_are_events_too() -> None:
    stream = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        _configured(stream)
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("this will change", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(False)
    (event,) = _events(stream)
    assert "this will change" in event["event"]
    assert event["logger"] == "py.warnings"


def test_a_current_span_is_named() -> None:
    stream = io.StringIO()
    _configured(stream)
    with TracerProvider().get_tracer("test").start_as_current_span("job") as span:
        structlog.get_logger().info("inside")
    structlog.get_logger().info("outside")
    inside, outside = _events(stream)
    assert int(inside["trace_id"], 16) == span.get_span_context().trace_id
    assert int(inside["span_id"], 16) == span.get_span_context().span_id
    assert "trace_id" not in outside


def test_what_a_runner_binds_is_on_every_line() -> None:
    stream = io.StringIO()
    _configured(stream)
    with log_context({"job": "j-1", "key": "tea", "token": 3}):
        structlog.get_logger().info("working")
        logging.getLogger("of.a.library").warning("said by the standard library", extra={"key": "its own"})
    structlog.get_logger().info("done")
    working, foreign, done = _events(stream)
    assert (working["job"], working["key"], working["token"]) == ("j-1", "tea", 3)
    assert foreign["job"] == "j-1"
    assert "job" not in done


def test_what_a_program_binds_is_on_every_line() -> None:
    stream = io.StringIO()
    _configured(stream)
    with structlog.contextvars.bound_contextvars(tenant="t-1"), log_context({"job": "j-1", "tenant": "of the job"}):
        structlog.get_logger().info("working")
    (event,) = _events(stream)
    assert (event["job"], event["tenant"]) == ("j-1", "t-1")


def test_loggers_that_were_used_before_follow_a_new_setup() -> None:
    first, second = io.StringIO(), io.StringIO()
    _configured(first)
    log = structlog.get_logger("kept")
    log.info("one")
    _configured(second, log_format="text")
    structlog.get_logger("kept").info("two")
    with structlog.testing.capture_logs() as captured:
        log.info("three")
    assert [event["event"] for event in _events(first)] == ["one"]
    assert "two" in second.getvalue()
    assert [entry["event"] for entry in captured] == ["three"]


@pytest.mark.parametrize("format", ["json", "text"])
def test_a_traceback_is_shown_without_the_values_of_variables(format: str) -> None:
    stream = io.StringIO()
    _configured(stream, log_format=format)
    password = "hunter2"
    try:
        raise LookupError("not found")
    except LookupError as error:
        structlog.get_logger().error("failed", exc_info=error)
        logging.getLogger("library").exception("failed")
    assert password == "hunter2"
    assert stream.getvalue().count("LookupError: not found") == 2
    assert "hunter2" not in stream.getvalue().replace('password = "hunter2"', "")


def test_a_secret_stays_one_in_a_log() -> None:
    stream = io.StringIO()
    _configured(stream)
    settings = Settings.model_validate({"store_url": "redis://:hunter2@host"})
    structlog.get_logger().info("opened", url=settings.store_url)
    _configured(stream, log_format="text")
    structlog.get_logger().info("opened", url=settings.store_url)
    assert "hunter2" not in stream.getvalue()


def test_text_from_outside_stays_on_its_line_and_commands_no_terminal() -> None:
    stream = io.StringIO()
    _configured(stream, log_format="text")
    structlog.get_logger().info("said\nand done", key="\x1b[2Jboo")
    logging.getLogger("library").info("two\nlines\n")
    assert len(stream.getvalue().splitlines()) == 2
    assert "\x1b" not in stream.getvalue()
    assert "said\\u000aand done" in stream.getvalue()


def test_values_that_json_has_no_word_for_are_said_all_the_same() -> None:
    stream = io.StringIO()
    _configured(stream)
    structlog.get_logger().info("odd", names={"a"}, pair=(1, 2), thing=object)
    (event,) = _events(stream)
    assert (event["names"], event["pair"], event["thing"]) == (["a"], [1, 2], "<class 'object'>")


def test_a_log_that_nobody_can_read_fails_nothing_and_is_counted() -> None:
    stream = Gone()
    _configured(stream)
    log = structlog.get_logger()
    log.info("lost")
    logging.getLogger("library").warning("lost")
    stream.gone = False
    log.info("back")
    log.info("well")
    back, well = _events(stream)
    assert back["log_lines_lost"] == 2
    assert "log_lines_lost" not in well


def test_a_process_without_stderr_can_log(monkeypatch: pytest.MonkeyPatch) -> None:
    configure_logging(Settings(log_format="json"))
    monkeypatch.setattr("sys.stderr", None)
    structlog.get_logger().info("to nobody")


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_message_of_megabytes_makes_no_line_of_megabytes(format: str) -> None:
    stream = io.StringIO()
    _configured(stream, log_format=format)
    structlog.get_logger().error("failed", error="x" * 5_000_000)
    logging.getLogger("library").error("y" * 5_000_000)
    try:
        raise ValueError("z" * 5_000_000)
    except ValueError:
        structlog.get_logger().exception("failed")
    assert len(stream.getvalue()) < 100_000
    assert stream.getvalue().count("characters ...]") == 3


@pytest.mark.parametrize(
    "said",
    [
        "connecting to amqp://jobkit:hunter2@localhost:5672/vhost",
        "postgresql://jobkit:hun%2Fter2-hunter2@db/jobs refused",
        "{'headers': {'Authorization': 'AWS4-HMAC-SHA256 Credential=AKIA/x, Signature=hunter2'}}",
        "headers={'X-Amz-Security-Token': b'hunter2', 'Host': b's3'}",
        "x-amz-security-token:hunter2",
        "Authorization: Bearer hunter2",
        "GET /b?X-Amz-Signature=hunter2&X-Amz-Date=1",
        """{"SecretAccessKey": "hunter2", "SessionToken": "hunter2"}""",
        "password=hunter2 host=db",
        r"ChannelFrame(payload=b'PLAIN\x00\x00\x00\x0f\x00jobkit\x00hunter2')",
    ],
)
def test_what_a_library_says_holds_no_secret(said: str) -> None:
    stream = io.StringIO()
    _configured(stream, log_level="debug")
    logging.getLogger("somebody").debug("%s", said)
    try:
        raise RuntimeError(said)
    except RuntimeError:
        logging.getLogger("somebody").exception("it failed")
    assert len(_events(stream)) == 2
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize(
    "said", ["12 tokens left", "GET http://host:80/a", "no password given", "key: tea, state: queued", r"\x00\x00"]
)
def test_what_holds_no_secret_is_left_as_it_is(said: str) -> None:
    assert without_secrets(said) == said


def test_signed_requests_are_not_logged_at_all() -> None:
    stream = io.StringIO()
    _configured(stream, log_level="debug")
    logging.getLogger("botocore.auth").debug("StringToSign: anything")
    logging.getLogger("botocore.credentials").info("Found credentials in environment variables.")
    (event,) = _events(stream)
    assert event["level"] == "info"


def test_an_error_does_not_drive_the_terminal_by_its_traceback() -> None:
    stream = Terminal()
    _configured(stream)
    for log in (structlog.get_logger("jobkit").error, logging.getLogger("somebody").error):
        try:
            raise ValueError("\x1b[2Jgone\x07")
        except ValueError:
            log("it failed", exc_info=True)
    said = stream.getvalue()
    assert said.count("u001b[2Jgone") == 2
    assert "\x1b[2J" not in said
    assert "\x07" not in said
    assert said.count("Traceback (most recent call last):\n") == 2


def test_a_long_text_is_looked_through_at_once() -> None:
    began = time.process_time()
    for piece in ("a", "token ", "a://b", r"\x00a", "password='", "x-"):
        without_secrets(piece * (200_000 // len(piece)))
    assert time.process_time() - began < 20.0


def test_events_become_records_of_the_standard_library_where_that_is_set(caplog: pytest.LogCaptureFixture) -> None:
    root = logging.getLogger()
    handlers = list(root.handlers)
    _configured(io.StringIO(), log_format="logging")
    with log_context({"job": "j-1"}):
        log = structlog.get_logger("jobkit")
        log.warning("lease lost 100%", name="a name", resource="note/tea\n")
        log.debug("below the level")
        try:
            raise ValueError("boom")
        except ValueError:
            log.error("it failed", exc_info=True)
    lost, failed = caplog.records
    assert (lost.name, lost.levelname) == ("jobkit", "WARNING")
    assert lost.getMessage() == "lease lost 100% job='j-1' name='a name' resource='note/tea\\n'"
    assert (lost.event, lost.fields) == (  # type: ignore[attr-defined]
        "lease lost 100%",
        {"job": "j-1", "name": "a name", "resource": "note/tea\n"},
    )
    assert failed.exc_info is not None
    assert [handler for handler in root.handlers if handler not in handlers] == []
    _configured(io.StringIO())
