"""`jobkit cancel`: nothing is cancelled without a word that says so, and the answer is what is true of each job."""

from __future__ import annotations

import json

import pytest

from jobkit.client import Client
from jobkit.ports.inspection import JobState
from jobkit.ports.planes import Planes
from jobkit.settings import Settings
from tests.cli.conftest import Shell
from tests.cli.world import World


def state(world: World, id: str) -> JobState:
    job = world.ask(lambda planes: planes.inspection.job(id))
    assert job is not None
    return job.state


def test_a_job_is_cancelled_by_its_id(shell: Shell, world: World) -> None:
    world.accepted("note", {"about": "tea"}, id="a")
    result = shell("cancel", "a", "--yes", "--reason", "not wanted")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "a is cancelled\n")
    shown = shell("status", "a").stdout
    assert "cancelled" in shown
    assert "not wanted" in shown
    again = shell("cancel", "a", "-y")
    assert (again.exit_code, again.stderr) == (0, "a was cancelled before\n")
    assert json.loads(shell("jobs", "--state", "cancelled", "--json").stdout)[0]["reason"] == "not wanted"


def test_what_cannot_be_cancelled_is_told_and_ends_in_an_error(shell: Shell, world: World) -> None:
    world.committed(world.accepted("note", {"about": "tea"}, id="done"), b'{"cups":2}')
    world.buried(world.accepted("note", {"about": "milk"}, id="dead"), reason="sour")
    world.accepted("note", {"about": "cake"}, id="a")
    result = shell("cancel", "done", "dead", "a", "nobody", "--yes", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == [
        {"id": "done", "cancelled": False, "state": "committed", "result": {"cups": 2}},
        {"id": "dead", "cancelled": False, "state": "dead", "result": None},
        {"id": "a", "cancelled": True, "state": "cancelled", "result": None},
        {"id": "nobody", "cancelled": False, "state": None, "result": None},
    ]
    assert "3 jobs not cancelled: done, dead, nobody" in result.stderr
    told = shell("cancel", "done", "dead", "nobody", "--yes").stderr
    assert "done has committed already" in told
    assert "dead is dead already" in told
    assert "nobody is not known" in told


def test_it_asks_first(shell: Shell, world: World) -> None:
    world.accepted("note", {"about": "tea"}, id="a")
    for words in (("a",), ("--type", "note")):
        result = shell("cancel", *words)
        assert result.exit_code == 2
        assert "--yes" in result.stderr
    assert state(world, "a") is JobState.QUEUED


def test_all_of_a_type_are_cancelled_or_those_of_a_key_or_state(shell: Shell, world: World) -> None:
    for number in range(3):
        for about in ("tea", "milk"):
            world.accepted("note", {"about": about}, id=f"{about}-{number}")
    world.accepted("chapter", {"about": "tea"}, id="other")
    world.opened(world.accepted("note", {"about": "cake"}, id="running"))
    result = shell("cancel", "--type", "note", "--key", "tea", "--yes")
    assert (result.exit_code, result.stderr) == (0, "3 jobs cancelled\n")
    assert json.loads(shell("cancel", "--type", "note", "--state", "queued", "--yes", "--json").stdout) == {
        "type": "note",
        "key": None,
        "cancelled": 3,
    }
    assert state(world, "running") is JobState.RUNNING
    assert shell("cancel", "--type", "note", "--yes").stderr == "1 job cancelled\n"
    assert shell("cancel", "--type", "note").stderr == "0 jobs cancelled\n"
    assert state(world, "other") is JobState.QUEUED


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "name jobs by id"),
        (("a", "--type", "note"), "name jobs by id"),
        (("a", "--key", "tea"), "go with --type"),
        (("--type", "note", "--state", "dead"), "what has ended cannot be cancelled"),
    ],
)
def test_what_is_to_be_cancelled_must_be_clear(shell: Shell, words: tuple[str, ...], told: str) -> None:
    result = shell("cancel", *words, "--yes")
    assert result.exit_code == 2
    assert told in result.stderr


def test_who_waits_for_a_job_that_is_cancelled_is_told(shell: Shell, world: World) -> None:
    world.accepted("note", {"about": "tea"}, id="a")
    shell("cancel", "a", "--yes", "--reason", "not wanted")
    result = shell("submit", "note", "--payload", '{"about": "tea"}', "--id", "a", "--wait")
    assert result.exit_code == 1
    assert "was cancelled by" in result.stderr
    assert "not wanted" in result.stderr


def test_what_is_left_of_a_group_is_cancelled(shell: Shell, world: World) -> None:
    async def submit(planes: Planes) -> None:
        client = Client(planes, world.registry, Settings())
        jobs = [client.job("note", {"about": "tea"}, id=f"m{number}") for number in range(3)]
        await client.submit_group(jobs, then=client.job("chapter", {"about": "tea"}, id="then"))

    world.ask(submit)
    world.committed(world.registry.new_job("note", {"about": "tea"}, id="m0").envelope)
    result = shell("cancel", "--group", "then", "--yes", "--reason", "not wanted")
    assert (result.exit_code, result.stderr) == (0, "3 jobs cancelled\n")
    assert [state(world, id) for id in ("m0", "m1", "m2", "then")] == [JobState.COMMITTED] + [JobState.CANCELLED] * 3
    assert json.loads(shell("cancel", "--group", "then", "--yes", "--json").stdout) == {"group": "then", "cancelled": 0}
    unknown = shell("cancel", "--group", "nobody", "--yes")
    assert (unknown.exit_code, "no group 'nobody'" in unknown.stderr) == (1, True)
    assert shell("cancel", "m1", "--group", "then", "--yes").exit_code == 2
