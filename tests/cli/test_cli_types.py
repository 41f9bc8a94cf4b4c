"""`jobkit types`: what workers have published, listed, shown and exported; and submitting without the code."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from jobkit.plugin.type_definition import definition_of, published
from jobkit.ports.planes import Planes
from tests.cli.conftest import Shell
from tests.cli.plugin import chapter, note
from tests.cli.world import World


@pytest.fixture(autouse=True)
def _published(world: World) -> None:
    async def publish(planes: Planes) -> None:
        await planes.inspection.save_types([published(definition_of(one)) for one in (note, chapter)])

    world.ask(publish)


def test_types_are_listed_and_shown(shell: Shell) -> None:
    listed = json.loads(shell("types", "list", "--json").stdout)
    assert [type["name"] for type in listed] == ["chapter", "note"]
    assert listed[1]["description"] == "Say it back, in steps."
    table = shell("types", "list").stdout
    assert "about, text, seconds" in table
    shown = shell("types", "show", "note").stdout
    assert "takes about" in shown
    assert "may be left out" in shown
    assert json.loads(shell("types", "show", "note", "--json").stdout) == listed[1]


def test_a_schema_is_exported_for_any_tool(shell: Shell) -> None:
    schema = json.loads(shell("types", "export", "note").stdout)
    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid({"about": "tea"})
    assert not Draft202012Validator(schema).is_valid({"text": "tea"})
    result = json.loads(shell("types", "export", "note", "--result", "--json").stdout)
    assert result["additionalProperties"] == {"type": "string"}


def test_a_type_that_is_not_published_is_an_error(shell: Shell) -> None:
    for command in ("show", "export"):
        failed = shell("types", command, "novel")
        assert failed.exit_code == 2
        assert "no worker has published a job type 'novel'" in failed.stderr


def test_a_job_is_submitted_without_the_code_of_its_type(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_PLUGINS", "")
    refused = shell("submit", "note", "--payload", '{"abut": "tea"}')
    assert refused.exit_code == 2
    assert "payload: 'about' is a required property" in refused.stderr
    id = shell("submit", "note", "--payload", '{"about": "tea"}').stdout.strip()
    assert json.loads(shell("status", id, "--json").stdout)["type"] == "note"
