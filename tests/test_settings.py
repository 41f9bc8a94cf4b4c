"""Settings: where they come from, what is refused, and that nobody gets to see a secret."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from jobkit.errors import ConfigurationError
from jobkit.model.concurrency import Concurrency
from jobkit.settings import Settings, load_settings

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Nothing of the environment that the tests run in is seen, and nothing is left behind."""
    outside = {name: value for name, value in os.environ.items() if not name.upper().startswith("JOBKIT_")}
    with mock.patch.dict(os.environ, outside, clear=True):
        yield


def _refusal(**variables: str) -> str:
    os.environ.update({f"JOBKIT_{name}": value for name, value in variables.items()})
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    return str(refused.value)


# ---- sources -------------------------------------------------------------------------------------------------------


def test_the_defaults_are_valid_and_embedded() -> None:
    settings = load_settings()
    assert settings.store_url.get_secret_value() == "sqlite:///jobkit.db"
    assert settings.lease_ttl * (1 - settings.clock_drift) - settings.lease_guard > 2 * settings.renew_every


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_LEASE_TTL", "30")
    monkeypatch.setenv("JOBKIT_PLUGINS", " one , two:three ,, ")
    settings = load_settings()
    assert settings.lease_ttl == 30
    assert settings.renew_every == 10
    assert settings.plugins == ("one", "two:three")


def test_later_env_files_win_and_the_environment_wins_over_all(tmp_path: Path) -> None:
    first, second = tmp_path / "first.env", tmp_path / "second.env"
    first.write_text("JOBKIT_CONCURRENCY=1\nJOBKIT_PARTITIONS=1\nJOBKIT_PREFETCH=1\n")
    second.write_text("# a comment\nexport JOBKIT_PARTITIONS='2'\nJOBKIT_PREFETCH=2\n")
    os.environ["JOBKIT_PREFETCH"] = "3"
    settings = load_settings((first, second))
    assert (settings.concurrency, settings.partitions, settings.prefetch) == (Concurrency(1), 2, 3)


def test_env_files_reach_plugins_too(tmp_path: Path) -> None:
    file = tmp_path / "a.env"
    file.write_text("JOBKIT_TRANSCODE_FFMPEG=/opt/ffmpeg\n")
    load_settings((file,))
    assert os.environ["JOBKIT_TRANSCODE_FFMPEG"] == "/opt/ffmpeg"


def test_a_missing_env_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"--env-file .*nowhere\.env: no such file"):
        load_settings((tmp_path / "nowhere.env",))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"JOBKIT_PREFETCH=1\n\nJOBKIT_STORE_URL\n", "line 3: write NAME=VALUE"),
        (b"JOBKIT_STORE_URL: postgresql://u:hunter2@h/d\n", "line 1: write NAME=VALUE"),
        (b"\n\n= 3\n", "line 3: write NAME=VALUE"),
        (b"JOBKIT_STORE_URL='sqlite:///a.db\n", "line 1: write NAME=VALUE"),
        (b"JOBKIT_PREFETCH=1\n# caf\xe9\n", "line 2: this is not UTF-8 text"),
    ],
)
def test_a_line_of_an_env_file_that_says_nothing_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "a.env"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=rf"--env-file .*a\.env, {said}") as caught:
        load_settings((file,))
    assert "hunter2" not in str(caught.value)


def test_an_env_file_may_be_empty_in_places_and_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "a.env"
    file.write_bytes(b"\xef\xbb\xbfJOBKIT_PREFETCH=7\n\n# JOBKIT_PARTITIONS\nOTHER=\n")
    assert load_settings((file,)).prefetch == 7


def test_an_env_file_that_is_a_directory_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"--env-file .*: this is a directory"):
        load_settings((tmp_path,))


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONCURRENCY", "0"),
        ("CONCURRENCY", "many"),
        ("PARTITIONS", "0"),
        ("PARTITIONS", "1025"),
        ("PREFETCH", "0"),
        ("LEASE_TTL", "0.5"),
        ("LEASE_TTL", "inf"),
        ("LEASE_TTL", "nan"),
        ("LEASE_GUARD", "0"),
        ("LEASE_GUARD", "-1"),
        ("CLOCK_DRIFT", "0.5"),
        ("CLOCK_DRIFT", "-0.1"),
        ("CLOCK_DRIFT", "nan"),
        ("CLAIM_WAIT", "0"),
        ("DELIVERY_HOLD", "inf"),
        ("GAP_HOLD", "0"),
        ("GAP_LIMIT", "0"),
        ("MAX_OPENS", "1"),
        ("MAX_PAYLOAD_BYTES", "0"),
        ("MAX_PAYLOAD_BYTES", "9" * 30),
        ("MAX_OPENS", "9" * 30),
        ("GAP_LIMIT", "9" * 30),
        ("RETENTION_LIMIT", "9" * 5_000),
        ("RETENTION_SECONDS", "0"),
        ("RETENTION_LIMIT", "0"),
        ("DRAIN_SECONDS", "0"),
        ("RELAY_GRACE", "0"),
        ("HEALTH_PORT", "70000"),
        ("HEALTH_PORT", ""),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_the_name_of_its_variable(name: str, value: str) -> None:
    assert f"JOBKIT_{name}: " in _refusal(**{name: value})


def test_every_wrong_variable_has_a_line() -> None:
    problems = _refusal(CONCURRENCY="0", LEASE_TTL="soon").splitlines()
    assert [line.partition(":")[0] for line in problems] == ["JOBKIT_CONCURRENCY", "JOBKIT_LEASE_TTL"]


@pytest.mark.parametrize(
    "terms",
    [
        {"LEASE_TTL": "2"},
        {"LEASE_GUARD": "8"},
        {"CLOCK_DRIFT": "0.49"},
    ],
)
def test_leases_that_could_not_be_renewed_in_time_are_refused(terms: dict[str, str]) -> None:
    """The incident's L4: the settings must fit together."""
    problem = _refusal(**terms)
    for name in ("JOBKIT_LEASE_TTL=", "JOBKIT_LEASE_GUARD=", "JOBKIT_CLOCK_DRIFT="):
        assert name in problem


def test_a_delivery_may_not_be_held_for_as_long_as_brokers_wait() -> None:
    assert "JOBKIT_DELIVERY_HOLD must be below 1800" in _refusal(DELIVERY_HOLD="1800")


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("JOBKIT_CONCURENCY", "JOBKIT_CONCURRENCY"),
        ("JOBKIT_LEASE_TLL", "JOBKIT_LEASE_TTL"),
        ("JOBKIT_BROKERURL", "JOBKIT_BROKER_URL"),
        ("JOBKIT_PLUGIN", "JOBKIT_PLUGINS"),
    ],
)
def test_a_misspelt_variable_is_an_error_that_says_what_was_meant(misspelt: str, meant: str) -> None:
    os.environ[misspelt] = "1"
    with pytest.raises(ConfigurationError, match=f"{misspelt} is not a setting; did you mean {meant}"):
        load_settings()


def test_a_plugins_variable_is_no_misspelling() -> None:
    os.environ["JOBKIT_TRANSCODE_PRESET"] = "fast"
    os.environ["JOBKIT_UPLOADS_TOKEN"] = "x"
    load_settings()


def test_levels_may_be_written_in_capitals() -> None:
    os.environ["JOBKIT_LOG_LEVEL"] = "DEBUG"
    assert load_settings().log_level == "debug"


# ---- secrets -------------------------------------------------------------------------------------------------------


def test_secrets_are_in_no_error_not_even_in_its_cause() -> None:
    os.environ["JOBKIT_STORE_URL"] = f"postgresql://me:{SECRET}@db/jobkit"
    os.environ["JOBKIT_LEASE_GUARD"] = "14"
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert SECRET not in "".join(traceback.format_exception(refused.value))
    os.environ["JOBKIT_CONCURRENCY"] = SECRET
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert SECRET not in "".join(traceback.format_exception(refused.value))


def test_secrets_are_not_shown_with_the_settings() -> None:
    os.environ["JOBKIT_BROKER_URL"] = f"amqp://me:{SECRET}@broker"
    settings = load_settings()
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump_json()}"
    assert SECRET in settings.broker_url.get_secret_value()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().concurrency = Concurrency(9)  # type: ignore[misc]


def test_fewer_of_some_types_may_run_at_once() -> None:
    os.environ["JOBKIT_CONCURRENCY"] = "8, transcode=1,upload=4"
    concurrency = load_settings().concurrency
    assert concurrency == Concurrency(8, {"transcode": 1, "upload": 4})
    assert str(concurrency) == "8,transcode=1,upload=4"
    assert Concurrency.parse(str(concurrency)) == concurrency


@pytest.mark.parametrize(
    "wrong",
    ["", "0", "10001", "many", "transcode=1", "8,transcode", "8,=1", "8,a=1,a=2", "8,transcode=9", "8,a=0", "8,a=x"],
)
def test_a_concurrency_that_cannot_be_is_refused_by_name(wrong: str) -> None:
    os.environ["JOBKIT_CONCURRENCY"] = wrong
    with pytest.raises(ConfigurationError, match="JOBKIT_CONCURRENCY"):
        load_settings()
