"""Each mistake and each misfortune: one message worth reading on stderr, nothing on stdout, and the right code."""

from __future__ import annotations

import functools
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from jobkit.backends.sqlite.engine import open_engine
from jobkit.cli.exit_codes import ExitCode, NoAnswer, exit_code_of, message_of, most_telling
from jobkit.cli.output import Output
from jobkit.cli.session import CommandSession
from jobkit.errors import ConfigurationError, JobkitError, JobNotFound, Unavailable
from jobkit.model.clock import SystemClock
from jobkit.ports.planes import Planes
from jobkit.settings import Settings
from tests.cli.conftest import Shell


def _failed(shell: Shell, code: int, *words: str, input: str | None = None) -> str:
    result = shell(*words, input=input)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return " ".join(result.stderr.split())


def test_a_wrong_setting_is_named_by_its_variable(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_CONCURRENCY", "many")
    monkeypatch.setenv("JOBKIT_LOG_LEVEL", "loud")
    said = _failed(shell, 2, "jobs")
    assert "error: JOBKIT_CONCURRENCY: use a whole number" in said
    assert "JOBKIT_LOG_LEVEL: use debug, info, warning or error" in said


def test_a_misspelt_setting_is_refused(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_STOR_URL", "sqlite:///other.db")
    assert "did you mean JOBKIT_STORE_URL?" in _failed(shell, 2, "jobs")


def test_a_missing_env_file_is_named(shell: Shell) -> None:
    assert "error: --env-file nowhere.env: no such file" in _failed(shell, 2, "--env-file", "nowhere.env", "jobs")


def test_a_url_without_a_backend_names_its_variable(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_BROKER_URL", "gopher://user:hunter2@host/")
    said = _failed(shell, 2, "jobs")
    assert "JOBKIT_BROKER_URL" in said
    assert "gopher" in said
    assert "hunter2" not in said


@pytest.mark.usefixtures("world")
def test_what_a_message_quotes_does_not_drive_the_terminal(shell: Shell) -> None:
    said = _failed(shell, 1, "status", "a\x1b[2Jb\x07")
    assert "\x1b" not in said
    assert "\x07" not in said


@pytest.mark.usefixtures("world")
def test_a_traceback_does_not_drive_the_terminal_either(shell: Shell) -> None:
    said = shell("--debug", "status", "a\x1b[2Jb").stderr
    assert "Traceback" in said
    assert "\x1b" not in said


def test_an_argument_that_is_no_text_is_a_wrong_use(shell: Shell) -> None:
    result = shell("status", os.fsdecode(b"tea-\xff"))
    assert result.exit_code == 2
    assert "this is not UTF-8 text" in result.stderr


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, ("dead", "show", "9" * 30)),
        (1, ("dead", "requeue", "9" * 19)),
        (2, ("dead", "list", "--after", "9" * 30)),
        (2, ("gaps", "skip", "note", "tea", "--before", "9" * 30)),
        (2, ("jobs", "--limit", "9" * 30)),
        (2, ("submit", "note", "--payload", '{"about": "tea"}', "--after", "1e300")),
        (2, ("pause", "note", "--partition", "9" * 30)),
    ],
    ids=lambda words: words if isinstance(words, int) else " ".join(words)[:40],
)
def test_a_number_that_no_store_can_hold_is_no_fault_of_jobkits(
    shell: Shell, code: int, words: tuple[str, ...]
) -> None:
    result = shell(*words)
    assert result.exit_code == code, result.output
    assert "fault of jobkit's" not in result.stderr


READS_THE_STORE = [
    ("jobs",),
    ("dead", "list"),
    ("dead", "requeue", "--all"),
    ("dead", "purge", "--all", "--yes"),
    ("gaps", "list"),
    ("republish", "--type", "note", "--yes"),
    ("cancel", "--type", "note", "--yes"),
]


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("words", READS_THE_STORE, ids=" ".join)
def test_what_the_store_alone_knows_needs_no_other_plane(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """A broker that is out of reach, and a coordinator that nobody has named beside it."""
    monkeypatch.setenv("JOBKIT_BROKER_URL", "amqp://localhost:1/")
    monkeypatch.setenv("JOBKIT_STORE_URL", "sqlite:///jobkit.db")
    assert shell(*words).exit_code == 0


def test_a_store_that_was_forgotten_beside_servers_is_not_made_here(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JOBKIT_BROKER_URL", "amqp://localhost:1/")
    said = _failed(shell, 2, "jobs")
    assert "JOBKIT_STORE_URL is not set" in said
    assert "JOBKIT_COORDINATOR_URL" not in said
    assert list(tmp_path.glob("*.db")) == []


def test_a_worker_needs_every_plane(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_BROKER_URL", "amqp://localhost:1/")
    monkeypatch.setenv("JOBKIT_STORE_URL", "sqlite:///jobkit.db")
    assert "JOBKIT_COORDINATOR_URL is not set" in _failed(shell, 2, "worker", "note")


@pytest.mark.parametrize("words", [*READS_THE_STORE, ("status", "a"), ("leases",), ("verify",)], ids=" ".join)
def test_who_only_looks_leaves_no_empty_database_in_a_wrong_folder(
    shell: Shell, tmp_path: Path, words: tuple[str, ...]
) -> None:
    before = sorted(tmp_path.iterdir())
    said = _failed(shell, 2, *words)
    assert f"JOBKIT_STORE_URL: there is no database {tmp_path / 'jobkit.db'}" in said
    assert sorted(tmp_path.iterdir()) == before


def test_a_database_that_is_none_is_said_to_be_none(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "jobkit.db").write_bytes(b"not a database, but long enough to be read as one\n" * 100)
    said = _failed(shell, 2, "jobs")
    assert "JOBKIT_STORE_URL: jobkit.db is not a usable SQLite database" in said


def test_a_database_in_a_missing_directory_is_refused(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_STORE_URL", "sqlite:///missing/jobkit.db")
    assert "the directory missing does not exist" in _failed(shell, 2, "status", "some-job")


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another process that sits in a transaction; a patience that is over sooner than in earnest."""
    monkeypatch.setattr("jobkit.backends.sqlite.backend.open_engine", functools.partial(open_engine, lock_patience=0.1))
    with closing(sqlite3.connect(tmp_path / "jobkit.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


@pytest.mark.usefixtures("locked")
def test_a_backend_out_of_reach_ends_with_its_own_code(shell: Shell) -> None:
    assert "jobkit.db is locked by another process" in _failed(shell, 3, "jobs")


@pytest.mark.usefixtures("locked")
def test_a_submission_without_an_answer_says_how_to_be_sure(shell: Shell) -> None:
    said = _failed(shell, 3, "submit", "note", "--payload", '{"about": "tea"}', "--id", "tea-1")
    assert "it is unknown whether the job was accepted; to be sure, submit it again with --id tea-1" in said


@pytest.mark.usefixtures("world")
def test_no_call_outlives_its_limit() -> None:
    session = CommandSession(Settings(), SystemClock(), Output(as_json=False))

    async def wait(_: Planes) -> None:
        await anyio.sleep_forever()

    with pytest.raises(NoAnswer, match=r"no answer from the backends within 0.05 s; `jobkit doctor`") as caught:
        session.call(wait, limit=0.05)
    assert exit_code_of(caught.value) == ExitCode.UNREACHABLE


def test_an_unknown_type_names_those_there_are(shell: Shell) -> None:
    said = _failed(shell, 2, "submit", "notes", "--payload", "{}")
    assert "no processor for job type 'notes'" in said
    assert "did you mean 'note'?" in said


def test_a_plugin_that_does_not_import_is_named(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_PLUGINS", "no_such_module")
    said = _failed(shell, 2, "submit", "note", "--payload", "{}")
    assert "JOBKIT_PLUGINS: 'no_such_module' does not import" in said


def test_a_payload_that_is_no_json_says_where(shell: Shell) -> None:
    said = _failed(shell, 2, "submit", "note", "--payload", '{"about": tea}')
    assert "--payload is not JSON: Expecting value: line 1 column 11" in said


def test_a_file_given_without_its_sign_is_recognized(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "tea.json").write_text("{}")
    assert "say --payload @tea.json" in _failed(shell, 2, "submit", "note", "--payload", "tea.json")


def test_a_payload_file_that_is_missing_is_named(shell: Shell) -> None:
    said = _failed(shell, 2, "submit", "note", "--payload", "@tea.json")
    assert "--payload @tea.json: No such file or directory" in said


def test_a_payload_that_does_not_fit_its_type_names_the_field(shell: Shell) -> None:
    said = _failed(shell, 2, "submit", "note", "--payload", '{"abuot": "tea"}')
    assert "about: Field required" in said
    assert "abuot: Extra inputs are not permitted" in said


def test_a_payload_that_is_too_large_is_refused(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_MAX_PAYLOAD_BYTES", "20")
    said = _failed(shell, 2, "submit", "note", "--payload", "-", input='{"about": "a very long story"}')
    assert "stdin has more bytes than JOBKIT_MAX_PAYLOAD_BYTES allows (20)" in said


def test_the_same_id_with_another_payload_is_a_conflict(shell: Shell) -> None:
    assert shell("submit", "note", "--payload", '{"about": "tea"}', "--id", "tea-1").exit_code == 0
    said = _failed(shell, 1, "submit", "note", "--payload", '{"about": "ale"}', "--id", "tea-1")
    assert "'tea-1' is known with another type, key or payload" in said


@pytest.mark.usefixtures("world")
def test_an_unknown_job_is_said_to_be_unknown(shell: Shell) -> None:
    assert "no job 'lost'" in _failed(shell, 1, "status", "lost")


def test_an_unknown_command_is_an_error_of_usage(shell: Shell) -> None:
    assert "No such command 'jbos'" in _failed(shell, 2, "jbos")


def test_a_worker_for_an_unknown_type_does_not_start(shell: Shell) -> None:
    assert "no processor for job type 'novel'" in _failed(shell, 2, "worker", "novel")


def test_a_worker_with_nothing_to_serve_does_not_start(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOBKIT_PLUGINS")
    assert "there is nothing to serve" in _failed(shell, 2, "worker")


def test_a_worker_on_a_machine_that_a_plugin_finds_unfit_does_not_start(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SICK_COMPLAINT", "the pen is missing")
    assert "note: the pen is missing" in _failed(shell, 2, "worker", "note")


@pytest.mark.usefixtures("world")
def test_debug_adds_the_traceback(shell: Shell) -> None:
    result = shell("--debug", "status", "lost")
    assert result.exit_code == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert "error: no job 'lost'" in result.stderr


def test_a_fault_of_our_own_is_told_as_one(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise LookupError("nobody thought of this")

    monkeypatch.setattr("jobkit.cli.tables.job_row", fail)
    shell("submit", "note", "--payload", '{"about": "tea"}')
    said = _failed(shell, 1, "jobs")
    assert "unexpected LookupError: nobody thought of this" in said
    assert "--debug shows where" in said


def test_of_several_errors_at_once_the_one_to_mend_is_told() -> None:
    setting, away, other = ConfigurationError("setting"), Unavailable("store", "away"), JobNotFound("lost")
    group = BaseExceptionGroup("tasks", [other, BaseExceptionGroup("inner", [away, setting])])
    assert most_telling(group) is setting
    assert most_telling(BaseExceptionGroup("tasks", [other, away])) is away
    assert most_telling(ExceptionGroup("tasks", [ValueError("v")])).args == ("v",)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("x"), ExitCode.USAGE),
        (Unavailable("store", "x"), ExitCode.UNREACHABLE),
        (JobkitError("x"), ExitCode.FAILED),
        (OSError(28, "No space left on device"), ExitCode.FAILED),
    ],
)
def test_each_cause_has_its_code(error: Exception, code: ExitCode) -> None:
    assert exit_code_of(error) == code


def test_an_operating_system_error_names_its_file() -> None:
    assert message_of(FileNotFoundError(2, "No such file or directory", "a.txt")) == "a.txt: No such file or directory"
