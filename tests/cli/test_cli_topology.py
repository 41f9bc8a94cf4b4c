"""`jobkit topology`: the partitions, and another number of them."""

from __future__ import annotations

import json

from jobkit.model.layout import Layout
from jobkit.model.pause import Scope
from tests.cli.conftest import Shell
from tests.cli.world import World


def _partitions(world: World) -> int:
    return world.ask(lambda planes: planes.store.layouts())["note"].partitions


def test_partitions_are_shown_with_what_is_in_them(shell: Shell) -> None:
    shell("submit", "note", "--payload", '{"about": "tea"}')
    result = shell("topology", "note", "--json")
    assert result.exit_code == 0, result.output
    (note,) = json.loads(result.stdout)["types"]
    assert (note["type"], note["partitions"], note["moving"], note["settled"]) == ("note", 8, False, True)
    assert [queue["partition"] for queue in note["queues"]] == list(range(8))
    assert sum(queue["ready"] for queue in note["queues"]) == 1
    assert {queue["leader"] for queue in note["queues"]} == {None}
    assert "note: 8 partitions\n" in shell("topology", "note").stdout


def test_a_type_that_nobody_has_used_has_no_queues_yet(shell: Shell) -> None:
    # Of another type: who only looks makes no database.
    shell("submit", "chapter", "--payload", '{"about": "tea"}')
    (note,) = json.loads(shell("topology", "note", "--json").stdout)["types"]
    assert {queue["ready"] for queue in note["queues"]} == {None}


def test_another_number_is_written_down_for_workers_once_it_is_confirmed(shell: Shell, world: World) -> None:
    shell("submit", "note", "--payload", '{"about": "tea"}')
    declined = shell("topology", "note", "--partitions", "3")
    assert declined.exit_code == 2
    assert "--yes" in declined.output
    assert _partitions(world) == 8
    done = shell("topology", "note", "--partitions", "3", "--yes")
    assert done.exit_code == 0, done.output
    assert "note: from 8 to 3 partitions" in done.stderr
    assert "note: 8 partitions, about to be 3" in done.stdout
    assert world.ask(lambda planes: planes.store.layouts()) == {"note": Layout.first(8).announced(3)}
    again = shell("topology", "note", "--partitions", "3", "--json")
    assert again.exit_code == 0
    (note,) = json.loads(again.stdout)["types"]
    assert (note["partitions"], note["wanted"], note["moving"], note["settled"]) == (8, 3, False, False)
    assert "nothing to change" in again.stderr


def test_how_far_a_change_has_come_is_told(shell: Shell, world: World) -> None:
    shell("submit", "note", "--payload", '{"about": "tea"}')
    before, moving = Layout.first(8), Layout.first(8).changed(3)
    world.ask(lambda planes: planes.store.set_layout("note", before, moving))
    assert (
        "note: 3 partitions, being changed: the jobs of 8 queues are yet to be moved"
        in shell("topology", "note").stdout
    )
    # Accepted, and published once workers have carried it out.
    assert shell("submit", "note", "--payload", '{"about": "milk"}').exit_code == 0
    assert world.ask(lambda planes: planes.inspection.counts()).outbox == 1
    in_force = moving
    for index in range(8):
        in_force = in_force.moved(index)
    world.ask(lambda planes: planes.store.set_layout("note", moving, in_force))
    assert "what waited in the outbox of 3 partitions is published first" in shell("topology", "note").stdout


def test_numbers_out_of_bounds_and_unknown_types_are_usage_errors(shell: Shell) -> None:
    assert shell("topology", "note", "--partitions", "0").exit_code == 2
    assert shell("topology", "note", "--partitions", "1025").exit_code == 2
    assert shell("topology", "nosuch", "--partitions", "2", "--yes").exit_code == 2


def test_partitions_are_named_and_found_by_the_number_in_force(shell: Shell, world: World) -> None:
    world.ask(lambda planes: planes.store.set_layout("note", None, Layout.first(2)))
    beyond = shell("pause", "note", "--partition", "2")
    assert beyond.exit_code == 2
    assert "there are 2, counted from 0" in beyond.output
    id = shell("submit", "note", "--payload", '{"about": "tea"}').stdout.strip()
    job = json.loads(shell("status", id, "--json").stdout)
    index = Layout.first(2).partition("note", job["key"]).index
    assert shell("pause", "note", "--partition", str(index)).exit_code == 0
    assert json.loads(shell("status", id, "--json").stdout)["paused"]
    assert json.loads(shell("jobs", "--json").stdout)[0]["paused"]
    # One that is gone since can be resumed.
    world.ask(lambda planes: planes.inspection.pause(Scope("note", 5), by="me", reason=""))
    assert shell("resume", "note", "--partition", "5").exit_code == 0
