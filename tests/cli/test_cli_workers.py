"""`jobkit workers`: who is alive, and what was asked of them."""

from __future__ import annotations

import json

from jobkit.ports.coordinator import Member
from jobkit.ports.planes import Planes
from tests.cli.conftest import Shell
from tests.cli.world import World


def _alive(world: World) -> None:
    async def begin(planes: Planes) -> None:
        await planes.coordinator.heartbeat(Member("host:1:a", ("note",)), ttl=60)
        await planes.coordinator.heartbeat(Member("host:1:b", ("note", "chapter")), ttl=60)

    world.ask(begin)


def test_what_is_asked_of_workers_is_listed(shell: Shell, world: World) -> None:
    assert shell("workers", "list").stderr == "no live workers; start one with `jobkit worker`\n"
    _alive(world)
    assert shell("workers", "drain", "host:1:a").stderr == "asked to drain: host:1:a\n"
    assert shell("workers", "hand-over", "note", "3", "host:1:b").stderr == "handed over: note/3 to host:1:b\n"
    first, second = json.loads(shell("workers", "list", "--json").stdout)
    assert (first["assigned"], first["dismissed"]) == ([], True)
    assert (second["assigned"], second["dismissed"]) == (["note/3"], False)
    listed = shell("workers", "list").stdout
    assert "drains" in listed
    assert "leads note/3" in listed
    told = json.loads(shell("workers", "hand-over", "note", "2", "host:1:b", "--json").stdout)
    assert told == {"type": "note", "partition": 2, "owner": "host:1:b"}
    assert json.loads(shell("workers", "drain", "host:1:b", "--json").stdout)["dismissed"]


def test_what_no_worker_can_do_is_refused(shell: Shell, world: World) -> None:
    _alive(world)
    for words in (
        ("drain", "host:9:z"),
        ("hand-over", "note", "99", "host:1:a"),
        ("hand-over", "chapter", "0", "host:1:a"),
        ("hand-over", "note", "0", "host:9:z"),
    ):
        assert shell("workers", *words).exit_code == 1, words
    assert all(
        not one["assigned"] and not one["dismissed"] for one in json.loads(shell("workers", "list", "--json").stdout)
    )
