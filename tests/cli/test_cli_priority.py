"""`jobkit priority`, and `jobkit submit --priority`: what is said of each job is what is true of it."""

from __future__ import annotations

import json

import pytest

from jobkit.model.priority import Priority
from tests.cli.conftest import Shell
from tests.cli.world import World


def priorities(world: World) -> dict[str, Priority | None]:
    return {job.id: job.priority for job in world.ask(lambda planes: planes.inspection.jobs())}


def submit(shell: Shell, id: str, *options: str, type: str = "errand") -> None:
    result = shell("submit", type, "--payload", json.dumps({"about": id}), "--id", id, *options)
    assert result.exit_code == 0, result.stderr


def test_a_job_is_submitted_with_a_priority_and_shown_with_it(shell: Shell, world: World) -> None:
    submit(shell, "a", "--priority", "high")
    submit(shell, "b")
    assert priorities(world) == {"a": Priority.HIGH, "b": Priority.NORMAL}
    assert "high" in shell("status", "a").stdout
    assert "queued, high" in shell("jobs").stdout
    assert "priority" not in shell("status", "b").stdout
    assert [job["priority"] for job in json.loads(shell("jobs", "--json").stdout)] == ["normal", "high"]
    (depth, *_) = [one for one in world.ask(lambda planes: planes.broker.depths()) if one.bands]
    assert depth.bands[Priority.HIGH] == 1


def test_a_priority_is_changed_by_id_and_what_becomes_of_it_is_told(shell: Shell, world: World) -> None:
    submit(shell, "a")
    world.committed(world.accepted("errand", {"about": "done"}, id="done"))
    result = shell("priority", "a", "--to", "high")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "a has the priority high now\n")
    again = shell("priority", "a", "--to", "high")
    assert (again.exit_code, again.stderr) == (0, "a has the priority high already\n")
    refused = shell("priority", "a", "done", "nobody", "--to", "low", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout) == [
        {"id": "a", "changed": True, "state": "queued", "priority": "low"},
        {"id": "done", "changed": False, "state": "committed", "priority": None},
        {"id": "nobody", "changed": False, "state": None, "priority": None},
    ]
    assert "2 jobs not changed: done, nobody" in refused.stderr
    told = shell("priority", "done", "nobody", "--to", "low").stderr
    assert "done is committed already" in told
    assert "nobody is not known" in told


def test_the_priority_of_all_of_a_type_or_a_key_is_changed(shell: Shell, world: World) -> None:
    for id in "abc":
        submit(shell, id)
    asked = shell("priority", "--type", "errand", "--to", "low")
    assert asked.exit_code == 2
    assert "--yes" in asked.stderr
    result = shell("priority", "--type", "errand", "--key", "a", "--to", "high", "--yes")
    assert (result.exit_code, result.stderr) == (0, "1 job of errand/a has the priority high now\n")
    result = shell("priority", "--type", "errand", "--to", "low", "--yes", "--json")
    assert json.loads(result.stdout) == {"type": "errand", "key": None, "priority": "low", "changed": 3}
    assert set(priorities(world).values()) == {Priority.LOW}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("priority", "--to", "high"), "name jobs by id, or all of a type by --type"),
        (("priority", "x", "--key", "k", "--to", "high"), "--key goes with --type"),
        (("priority", "--type", "note", "--to", "high", "--yes"), "knows no priorities"),
        (("priority", "--type", "chapter", "--to", "high", "--yes"), "would break its key's order"),
        (("priority", "--type", "nosuch", "--to", "high", "--yes"), "no processor for job type 'nosuch'"),
        (("priority", "plain", "--to", "high"), "knows no priorities"),
        (("submit", "note", "--payload", '{"about": "x"}', "--priority", "low"), "knows no priorities"),
        (("priority", "x", "--to", "urgent"), "'urgent'"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(
    shell: Shell, world: World, words: tuple[str, ...], said: str
) -> None:
    submit(shell, "plain", type="note")
    result = shell(*words)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
