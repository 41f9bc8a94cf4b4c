"""`jobkit config`: what is in effect and why, without a secret in it; and the reference that docs/settings.md is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import jobkit
import jobkit.errors
import jobkit.testing
from jobkit.cli.url_masking import masked_url
from jobkit.settings import Settings
from tests.cli.conftest import Shell

_DOCS = Path(__file__).parents[2] / "docs"


def _shown(shell: Shell, *files: str) -> dict[str, dict[str, Any]]:
    result = shell("config", "show", "--json", *(word for file in files for word in ("--env-file", file)))
    assert result.exit_code == 0, result.stderr
    return {setting["variable"]: setting for setting in json.loads(result.stdout)}


def test_each_setting_is_shown_with_what_set_it(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.env").write_text("JOBKIT_LEASE_TTL=20\nJOBKIT_PREFETCH=50\nJOBKIT_CONCURRENCY=2\n")
    (tmp_path / "two.env").write_text("JOBKIT_PREFETCH=60\n")
    monkeypatch.setenv("JOBKIT_CONCURRENCY", "3")
    shown = _shown(shell, "one.env", "two.env")
    assert len(shown) == len(Settings.model_fields)
    assert shown["JOBKIT_LEASE_TTL"] == {
        "variable": "JOBKIT_LEASE_TTL",
        "value": 20.0,
        "source": "one.env",
        "default": False,
    }
    assert (shown["JOBKIT_PREFETCH"]["value"], shown["JOBKIT_PREFETCH"]["source"]) == (60, "two.env")
    assert (shown["JOBKIT_CONCURRENCY"]["value"], shown["JOBKIT_CONCURRENCY"]["source"]) == (3, "environment")
    assert shown["JOBKIT_GAP_HOLD"]["source"] == "default"
    assert shown["JOBKIT_GAP_HOLD"]["default"] is True
    assert shown["JOBKIT_PLUGINS"]["value"] == ["tests.cli.plugin"]


def test_the_table_shows_the_same_in_words(shell: Shell) -> None:
    lines = shell("config", "show").stdout.splitlines()
    assert lines[0].split() == ["VARIABLE", "VALUE", "SOURCE"]
    assert ["JOBKIT_RETENTION_SECONDS", "604800", "default"] in [line.split() for line in lines]


@pytest.mark.parametrize("words", [["config", "show"], ["config", "show", "--json"]])
def test_no_secret_is_printed(shell: Shell, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setenv("JOBKIT_BROKER_URL", "amqp://user:hunter2@rabbit:5672/vhost")
    monkeypatch.setenv("JOBKIT_BLOBS_URL", "s3://bucket?region=eu&secret_key=hunter3")
    result = shell(*words)
    assert "hunter" not in result.output
    assert "amqp://user:***@rabbit:5672/vhost" in result.stdout
    assert "s3://bucket?region=eu&secret_key=***" in result.stdout


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///relative.db", "sqlite:///relative.db"),
        ("sqlite:////absolute/a@b.db", "sqlite:////absolute/a@b.db"),
        ("file:blobs", "file:blobs"),
        ("memory:", "memory:"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://:secret@host", "redis://:***@host"),
        ("amqp://user:se/cr@et@host/v", "amqp://user:***@host/v"),
        ("https://token@host/path", "https://***@host/path"),
        ("postgresql://host/db?user=u&password=secret&ssl=1", "postgresql://host/db?user=u&password=***&ssl=1"),
        ("host=h password=secret", "***"),
        ("user:secret@host", "***"),
    ],
)
def test_a_url_shows_where_but_not_how_to_get_in(url: str, shown: str) -> None:
    assert masked_url(url) == shown


def test_the_reference_in_docs_is_up_to_date(shell: Shell) -> None:
    written = (_DOCS / "settings.md").read_text(encoding="utf-8")
    made = shell("config", "reference").stdout
    assert written == made, "make it again: jobkit config reference > docs/settings.md"


def test_the_reference_of_public_names_is_up_to_date(shell: Shell) -> None:
    written = (_DOCS / "reference.md").read_text(encoding="utf-8")
    assert written == shell("config", "api").stdout, "make it again: make reference"


def test_every_public_name_is_in_the_reference() -> None:
    written = (_DOCS / "reference.md").read_text(encoding="utf-8")
    errors = [
        name
        for name, thing in vars(jobkit.errors).items()
        if isinstance(thing, type) and issubclass(thing, jobkit.JobkitError)
    ]
    public = {*jobkit.__all__, *jobkit.testing.__all__, *errors, "JobRecord"}
    assert sorted(name for name in public if f"### {name}\n" not in written) == []


def test_the_reference_tells_bounds_defaults_and_meaning(shell: Shell) -> None:
    made = shell("config", "reference").stdout
    for name in Settings.model_fields:
        assert f"`JOBKIT_{name.upper()}`" in made
    assert "| `JOBKIT_CONCURRENCY` | whole number, at least 1, at most 10000, and a list | `8` | How many jobs" in made
    assert "| `JOBKIT_GAP_HOLD` | seconds, above 0 | `30` |" in made
    assert "| `JOBKIT_CLOCK_DRIFT` | number, at least 0, below 0.5 | `0.01` |" in made
    assert "| `JOBKIT_STORE_URL` | URL | `sqlite:///jobkit.db` |" in made
    assert "| `JOBKIT_PLUGINS` | list | none |" in made
    assert "| `JOBKIT_HEALTH_PORT` | whole number, at least 0, at most 65535 | none |" in made
