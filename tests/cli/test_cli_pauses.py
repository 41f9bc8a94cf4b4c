"""`jobkit pause`, `resume` and `pauses`: what is paused is said wherever somebody looks."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace

import pytest

from jobkit.plugin.type_definition import definition_of, published
from jobkit.ports.types import PublishedType
from tests.cli.conftest import Shell
from tests.cli.plugin import note
from tests.cli.world import World

pytestmark = pytest.mark.usefixtures("world")


def test_what_is_paused_is_listed_until_it_is_resumed(shell: Shell, world: World) -> None:
    world.accepted("note", {"about": "tea"})
    assert shell("pauses").stderr == "nothing is paused\n"
    result = shell("pause", "note", "--reason", "no milk")
    assert (result.exit_code, result.stdout) == (0, "")
    assert re.search(r"paused: note, \d+s ago", result.stderr)
    assert "no milk" in result.stderr
    shell("pause", "note", "--key", "tea")
    shell("pause", "note", "--partition", "3", "--json")
    listed = json.loads(shell("pauses", "--json").stdout)
    assert [(one["type"], one["partition"], one["key"], one["reason"]) for one in listed] == [
        ("note", None, None, "no milk"),
        ("note", None, "tea", ""),
        ("note", 3, None, ""),
    ]
    assert all("@" in one["by"] and one["since"] > 1e9 for one in listed)
    assert "no milk" in shell("pauses").stdout
    gone = json.loads(shell("resume", "note", "--json").stdout)
    assert gone["resumed"] == listed[0]
    assert gone["still_paused"] == listed[1:]
    told = shell("resume", "note", "--key", "tea").stderr
    assert "goes on: note, key tea" in told
    assert "still paused: note, partition 3" in told
    again = shell("resume", "note")
    assert again.exit_code == 1
    assert "note is not paused" in again.stderr


@pytest.mark.parametrize("words", [("note",), ("note", "--key", "tea")])
def test_jobs_leases_and_the_doctor_tell_of_it(shell: Shell, world: World, words: tuple[str, ...]) -> None:
    world.accepted("note", {"about": "tea"}, id="waits")
    world.committed(world.accepted("note", {"about": "milk"}, id="done"), b"null")
    shell("pause", *words, "--reason", "no milk")
    told = shell("status", "waits").stdout
    assert "paused" in told
    assert "no milk" in told
    jobs = {job["id"]: job["paused"] for job in json.loads(shell("jobs", "--json").stdout)}
    assert jobs["done"] is None
    assert (jobs["waits"]["type"], jobs["waits"]["reason"]) == ("note", "no milk")
    assert json.loads(shell("status", "waits", "--json").stdout)["paused"] == jobs["waits"]
    assert "queued, paused" in shell("jobs").stdout
    assert "committed, paused" not in shell("jobs").stdout
    assert "no milk" in shell("leases").stderr
    assert [pause["reason"] for pause in json.loads(shell("leases", "--json").stdout)["pauses"]] == ["no milk"]
    doctor = shell("doctor", "--json")
    found = [check["what"] for check in json.loads(doctor.stdout)["checks"]]
    assert any("paused" in what and "no milk" in what for what in found)
    assert doctor.exit_code == 0


def test_words_that_name_nothing_are_refused(shell: Shell) -> None:
    both = shell("pause", "note", "--key", "tea", "--partition", "0")
    assert both.exit_code == 2
    assert "the one or the other" in both.stderr
    beyond = shell("pause", "note", "--partition", "99")
    assert beyond.exit_code == 2
    assert "no partition 99" in beyond.stderr


def test_what_nobody_knows_is_paused_only_if_that_is_said(shell: Shell, world: World) -> None:
    typo = shell("pause", "nte")
    assert typo.exit_code == 2
    assert "nobody knows a job type 'nte'" in typo.stderr
    assert "did you mean 'note'?" in typo.stderr
    assert "--unseen" in typo.stderr
    world.accepted("note", {"about": "tea"})
    key = shell("pause", "note", "--key", "te")
    assert key.exit_code == 1
    assert "knows nothing of the key 'te'" in key.stderr
    assert shell("pauses").stderr == "nothing is paused\n"
    assert shell("pause", "nte", "--unseen").exit_code == 0
    assert shell("pause", "note", "--key", "te", "--unseen").exit_code == 0
    assert "did you mean 'nte'?" in shell("resume", "nt").stderr


def test_what_only_the_store_knows_is_steered_without_its_code(shell: Shell, world: World) -> None:
    """What workers published, or jobs that are there, are enough; the types of a group are called by its name."""
    definitions = [replace(definition_of(note), name="pay", group="account"), definition_of(note)]
    definitions[1] = replace(definitions[1], name="report")
    unread = PublishedType("newer", b"{}")
    world.ask(lambda planes: planes.inspection.save_types([*map(published, definitions), unread]))
    world.accepted("note", {"about": "tea"})
    os.environ["JOBKIT_PLUGINS"] = ""
    for type in ("report", "account", "newer", "note"):
        assert shell("pause", type).exit_code == 0
        assert shell("cancel", "--type", type, "--state", "running").exit_code == 0
    for words in (("pause", "pay"), ("cancel", "--type", "pay"), ("republish", "--type", "pay", "--yes")):
        member = shell(*words)
        assert member.exit_code == 2
        assert "in group 'account'" in member.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("cancel",),
        ("republish", "--yes"),
        ("priority", "--to", "high", "--yes"),
        ("dead", "requeue", "--all"),
        ("dead", "purge", "--all", "--yes"),
    ],
)
def test_all_jobs_of_a_type_that_nobody_knows_are_not_none(shell: Shell, words: tuple[str, ...]) -> None:
    refused = shell(*words, "--type", "nte")
    assert refused.exit_code == 2
    assert "did you mean 'note'?" in refused.stderr
