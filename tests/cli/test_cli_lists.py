"""`jobkit status`, `jobs`, `leases` and `limits`: tables for people, documents for machines."""

from __future__ import annotations

import json
import re
import time

import pytest

from jobkit.cli.app import app
from jobkit.client.job_groups import pages
from jobkit.model.blob import BlobRef
from jobkit.model.limit import Limit
from jobkit.ports.checkpoints import Checkpoint
from jobkit.ports.coordinator import Member
from jobkit.ports.limits import Waiting
from jobkit.ports.planes import Planes
from tests.cli.conftest import Shell
from tests.cli.world import World

pytestmark = pytest.mark.usefixtures("world")


def test_jobs_are_listed_latest_first(shell: Shell, world: World) -> None:
    world.accepted("note", {"about": "tea"}, id="first")
    second = world.accepted("note", {"about": "ale"}, id="second")
    world.opened(second, progress=0.5, message="half")
    result = shell("jobs")
    assert result.exit_code == 0
    heading, *rows = result.stdout.splitlines()
    assert heading.split() == ["ID", "TYPE", "STATE", "DONE", "AGE", "KEY"]
    assert [row.split()[:4] for row in rows] == [["second", "note", "running", "50%"], ["first", "note", "queued", "-"]]
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["--type", "chapter"], {"c"}),
        (["--key", "tea"], {"a"}),
        (["--state", "committed"], {"b"}),
        (["--limit", "1"], {"c"}),
        (["--state", "dead"], set()),
    ],
)
def test_jobs_can_be_filtered(shell: Shell, world: World, filters: list[str], found: set[str]) -> None:
    world.accepted("note", {"about": "tea"}, id="a")
    world.committed(world.accepted("note", {"about": "ale"}, id="b"))
    world.accepted("chapter", {"about": "book"}, id="c")
    result = shell("jobs", "--json", *filters)
    assert {job["id"] for job in json.loads(result.stdout)} == found


def test_a_list_that_was_cut_says_so(shell: Shell, world: World) -> None:
    world.accepted("note", {"about": "tea"})
    assert "--limit shows more" in shell("jobs", "--limit", "1").stderr


def test_an_empty_list_is_said_on_stderr(shell: Shell) -> None:
    result = shell("jobs")
    assert (result.stdout, result.stderr) == ("", "no jobs\n")
    assert shell("jobs", "--type", "note").stderr == "no such jobs\n"
    assert shell("jobs", "--json").stdout == "[]\n"


def test_status_shows_result_and_history(shell: Shell, world: World) -> None:
    world.committed(world.accepted("note", {"about": "tea"}, id="t-1"), result=b'{"said":"milk"}')
    lines = shell("status", "t-1").stdout.splitlines()
    fields = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}
    assert fields["id"] == "t-1"
    assert fields["state"] == "committed"
    assert fields["result"] == '{"said": "milk"}'
    assert re.match(r"\d+s ago \(20", fields["submitted"])


def test_status_of_a_dead_job_shows_its_failures_and_the_next_command(shell: Shell, world: World) -> None:
    world.buried(world.accepted("note", {"about": "tea"}, id="t-1"), reason="gave up", error="ValueError: no milk")
    shown = shell("status", "t-1").stdout
    assert "attempt 1" in shown
    assert "ValueError: no milk" in shown
    assert "jobkit dead show t-1" in shown


def test_status_as_json_has_the_documented_fields(shell: Shell, world: World) -> None:
    world.committed(world.accepted("note", {"about": "tea"}, id="t-1"), result=b'{"said":"milk"}')
    before = time.time()
    job = json.loads(shell("status", "t-1", "--json").stdout)
    assert abs(job.pop("submitted_at") - before) < 60
    assert job.pop("started_at") <= job.pop("finished_at")
    assert job == {
        "id": "t-1",
        "type": "note",
        "key": "tea",
        "sequence": None,
        "state": "committed",
        "priority": None,
        "progress": 1.0,
        "message": "",
        "owner": "host:1:test",
        "token": 7,
        "opens": 1,
        "failures": [],
        "result": {"said": "milk"},
        "ended_by": None,
        "reason": None,
        "due_at": None,
        "paused": None,
        "checkpoint": None,
        "steps": [],
        "expires_at": None,
        "waits_for": None,
        "unique": None,
        "tenant": None,
        "tags": [],
        "waits_for_place": False,
        "group": None,
        "parent": None,
    }


def test_what_came_from_outside_cannot_drive_the_terminal(shell: Shell, world: World) -> None:
    world.opened(world.accepted("note", {"about": "\u202enice"}, id="t-1"), progress=0.5, message="\x1b[2J\nnice")
    for words in (("jobs",), ("status", "t-1")):
        shown = shell(*words).stdout
        assert "\u202e" not in shown
        assert "\\u202enice" in shown
    assert "\x1b" not in shown
    assert "\\x1b[2J\\nnice" in shown


def test_status_tells_of_the_checkpoint_and_of_the_steps_that_are_done(shell: Shell, world: World) -> None:
    job = world.accepted("note", {"about": "tea"}, id="t-1")
    world.kept(job, Checkpoint("", 1, b'{"n":1}'), Checkpoint("cut", 1, b"1", (BlobRef("a.mp4", "x", 1, "ab"),)))
    fields = dict(re.findall(r"^(checkpoint|steps done) +(.*)$", shell("status", "t-1").stdout, flags=re.MULTILINE))
    assert re.match(r"\d+s ago .*, 7 bytes", fields["checkpoint"])
    assert fields["steps done"] == "cut"
    shown = json.loads(shell("status", "t-1", "--json").stdout)
    (step,) = shown["steps"]
    assert (step["name"], step["files"], shown["checkpoint"]["bytes"]) == ("cut", ["a.mp4"], 7)
    assert abs(step["at"] - shown["checkpoint"]["at"]) < 60


def test_status_needs_no_plugin_that_loads(shell: Shell, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.accepted("note", {"about": "tea"}, id="t-1")
    monkeypatch.setenv("JOBKIT_PLUGINS", "no_such_module")
    assert shell("status", "t-1").exit_code == 0


def _occupied(world: World) -> None:
    async def occupy(planes: Planes) -> None:
        await planes.coordinator.claim("leader/note/0", owner="host:1:a", nonce="n", ttl=60)
        await planes.coordinator.claim("note/tea", owner="host:1:a", nonce="m", ttl=60)
        await planes.coordinator.heartbeat(Member("host:1:a", ("note", "chapter")), ttl=60)

    world.ask(occupy)


def test_leases_and_workers_are_shown(shell: Shell, world: World) -> None:
    _occupied(world)
    shown = shell("leases").stdout
    assert "leader/note/0" in shown
    assert "note, chapter" in shown
    some = json.loads(shell("leases", "--json", "--prefix", "leader/").stdout)
    (worker,) = some["workers"]
    assert (worker["owner"], worker["latency"], worker["types"]) == ("host:1:a", 0.0, ["note", "chapter"])
    (lease,) = some["leases"]
    assert 0 < lease.pop("remaining") <= 60
    assert lease == {"resource": "leader/note/0", "owner": "host:1:a", "token": 1}


def test_no_leases_and_no_workers_are_said_on_stderr(shell: Shell) -> None:
    result = shell("leases")
    assert result.stdout == ""
    assert "no live leases" in result.stderr
    assert "no live workers; start one with `jobkit worker`" in result.stderr


def _limited(world: World) -> None:
    async def use(planes: Planes) -> None:
        limits = [Limit("gpu", 2), Limit("smtp/ann", 1, per=60.0)]
        await planes.coordinator.claim("note/tea", owner="host:1:a", nonce="n", ttl=60, limits=limits)
        await planes.coordinator.note_waiting("host:1:a", [Waiting("host:1:a", "smtp/ann", 3, ("t-1",))], ttl=60)

    world.ask(use)


def test_limits_are_shown_with_who_has_them_and_how_many_wait(shell: Shell, world: World) -> None:
    assert shell("limits").stderr == "no limits are in use\n"
    _limited(world)
    heading, gpu, smtp = shell("limits").stdout.splitlines()
    assert heading.split() == ["LIMIT", "USED", "WAITING", "NEXT", "FREE", "HELD", "BY"]
    assert gpu.split() == ["gpu", "1", "of", "2", "0", "-", "note/tea"]
    assert smtp.split()[:7] == ["smtp/ann", "1", "of", "1", "in", "60s", "3"]
    (one,) = json.loads(shell("limits", "--json", "--prefix", "smtp/").stdout)
    assert 0 < one.pop("remaining") <= 60
    assert one == {"limit": "smtp/ann", "count": 1, "per": 60.0, "used": 1, "waiting": 3, "holders": []}


def test_a_job_that_waits_for_a_limit_says_so(shell: Shell, world: World) -> None:
    world.accepted("note", {"about": "tea"}, id="t-1")
    world.committed(world.accepted("note", {"about": "ale"}, id="t-2"))
    _limited(world)
    assert "waits for  limit smtp/ann" in shell("status", "t-1").stdout
    assert "queued, waits for smtp/ann" in shell("jobs").stdout
    waits = {job["id"]: job["waits_for"] for job in json.loads(shell("jobs", "--json").stdout)}
    assert waits == {"t-1": "smtp/ann", "t-2": None}
    told = "3 jobs in workers' hands wait for limits: smtp/ann (3 jobs, all 1 of it are used)"
    assert told in " ".join(shell("doctor").stdout.split())


@pytest.mark.parametrize("place", ["before", "after", "both"])
def test_env_files_are_taken_before_and_after_the_command(shell: Shell, world: World, place: str) -> None:
    world.accepted("note", {"about": "tea"}, id="t-1")
    (world.directory / "moved.env").write_text("JOBKIT_STORE_URL=sqlite:///moved.db\n")
    (world.directory / "back.env").write_text("JOBKIT_STORE_URL=sqlite:///jobkit.db\n")
    words = {
        "before": ["--env-file", "moved.env", "jobs", "--json"],
        "after": ["jobs", "--json", "--env-file", "moved.env"],
        "both": ["--env-file", "moved.env", "jobs", "--json", "--env-file", "back.env"],
    }
    result = shell(*words[place])
    if place == "both":
        assert len(json.loads(result.stdout)) == 1
    else:
        assert f"no database {world.directory / 'moved.db'}" in result.stderr


def test_every_command_that_shows_something_takes_json() -> None:
    from typer.main import get_command

    wordless = {"worker", "dev", "web", "exporter", "bench-worker", "new-plugin", "reference", "api"}
    group = get_command(app)
    commands = [*group.commands.items()]  # type: ignore[attr-defined]
    for name in ("dead", "gaps", "config", "schedules", "workers"):
        commands.extend(group.commands[name].commands.items())  # type: ignore[attr-defined]
    leaves = {name: command for name, command in commands if not hasattr(command, "commands")}
    assert len(leaves) > 12
    for name, command in leaves.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert name in wordless or "--json" in options, name
        assert name in {"bench-worker", "new-plugin", "reference", "api"} or "--env-file" in options, name


def test_status_shows_a_group_and_its_members_as_a_tree(shell: Shell, world: World) -> None:
    registry = world.registry
    members = [registry.new_job("note", {"about": about}, id=about) for about in ("tea", "milk")]
    then = registry.new_job("note", {"about": "all"}, id="then")
    (page,) = pages(members, then, "run")
    world.ask(lambda planes: planes.store.submit(page))
    world.committed(members[0].envelope)
    lines = shell("status", "--tree", "then").stdout.splitlines()
    assert lines == [
        "then  note  scheduled  (1 of 2 ended)",
        "|- tea  note  committed",
        "`- milk  note  queued",
    ]
    tree = json.loads(shell("status", "--tree", "then", "--json").stdout)
    assert (tree["group"]["members"], tree["group"]["unended"], len(tree["below"])) == (2, 1, 2)
    assert ("GROUP" in shell("jobs").stdout, "group" in shell("status", "milk").stdout) == (True, True)
