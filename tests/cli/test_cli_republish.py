"""`jobkit republish`: jobs whose messages are lost go to the outbox again."""

from __future__ import annotations

import json

import pytest

from jobkit.ports.planes import Planes
from tests.cli.conftest import Shell
from tests.cli.world import World


@pytest.fixture
def lost(world: World) -> list[str]:
    """Two notes and a chapter whose messages are lost."""
    jobs = [world.accepted("note", {"about": name}, id=name) for name in ("tea", "milk")]
    jobs.append(world.accepted("chapter", {"about": "book"}, id="book"))

    async def lose(planes: Planes) -> None:
        entries = await planes.store.outbox(older_than=-1, limit=10)
        await planes.store.published([entry.position for entry in entries])

    world.ask(lose)
    return [job.id for job in jobs]


def waiting(world: World) -> list[str]:
    async def read(planes: Planes) -> list[str]:
        return [entry.envelope.id for entry in await planes.store.outbox(older_than=-1, limit=10)]

    return world.ask(read)


def test_jobs_are_published_again_by_their_ids_and_done(shell: Shell, world: World, lost: list[str]) -> None:
    result = shell("republish", "milk", "tea", "tea")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "2 jobs are in the outbox again" in result.stderr
    assert waiting(world) == ["tea", "milk"]
    world.accepted("chapter", {"about": "other"}, id="other")
    shell("republish", "book")
    world.worked_off("note", "chapter")
    assert json.loads(shell("status", "milk", "--json").stdout)["state"] == "committed"


def test_what_needs_no_message_is_left_as_it_is_and_told(shell: Shell, world: World, lost: list[str]) -> None:
    done = world.accepted("note", {"about": "sugar"}, id="done")
    world.committed(done)
    world.accepted("note", {"about": "cup"}, id="waits")
    result = shell("republish", "--json", "done", "waits", "tea")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "jobs": 1,
        "ids": ["tea"],
        "left": [{"id": "done", "why": "committed"}, {"id": "waits", "why": "on its way"}],
    }
    assert "done is committed: left as it is" in shell("republish", "done").stderr


def test_an_unknown_id_is_an_error_and_keeps_no_other_from_being_published(
    shell: Shell, world: World, lost: list[str]
) -> None:
    result = shell("republish", "nobody", "tea")
    assert result.exit_code == 1
    assert "not known here: nobody" in result.stderr
    assert waiting(world) == ["tea"]


def test_all_jobs_of_a_type_are_published_again_after_asking(shell: Shell, world: World, lost: list[str]) -> None:
    refused = shell("republish", "--type", "note")
    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
    assert waiting(world) == []
    result = shell("republish", "--type", "note", "--yes", "--json")
    assert json.loads(result.stdout) == {"jobs": 2, "ids": ["tea", "milk"], "left": []}
    assert waiting(world) == ["tea", "milk"]
    assert json.loads(shell("republish", "--type", "note", "--yes", "--json").stdout)["jobs"] == 0


@pytest.mark.parametrize("words", [(), ("tea", "--type", "note")])
def test_either_ids_or_a_type_are_named(shell: Shell, lost: list[str], words: tuple[str, ...]) -> None:
    result = shell("republish", *words)
    assert result.exit_code == 2
    assert "--type" in result.stderr
