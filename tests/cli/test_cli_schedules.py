"""`jobkit schedules`: added, looked at, paused, resumed, triggered and removed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from jobkit.model.schedule import Pause, load_schedule
from jobkit.ports.planes import Planes
from jobkit.ports.schedules import KeptSchedule
from tests.cli.conftest import Shell
from tests.cli.world import World

pytestmark = pytest.mark.usefixtures("world")


def test_a_schedule_is_added_shown_and_listed(shell: Shell) -> None:
    assert shell("schedules", "list").stderr == "there are no schedules\n"
    added = shell(
        "schedules", "add", "tea-time", "note", "--payload", '{"about": "tea"}', "--cron", "0 16 * * *",
        "--zone", "Europe/Berlin", "--missed", "all", "--bound", "3", "--overlap", "wait",
    )  # fmt: skip
    assert added.exit_code == 0
    assert "0 16 * * * (Europe/Berlin)" in added.stdout
    (listed,) = json.loads(shell("schedules", "list", "--json").stdout)
    assert (listed["name"], listed["type"], listed["payload"]["about"]) == ("tea-time", "note", "tea")
    assert (listed["missed"], listed["bound"], listed["overlap"], listed["last_tick"]) == ("all", 3, "wait", None)
    assert listed["due_at"] == listed["next_tick"]
    assert "tea-time" in shell("schedules", "list").stdout
    assert json.loads(shell("schedules", "show", "tea-time", "--json").stdout) == listed


def test_a_schedule_is_paused_resumed_and_triggered(shell: Shell) -> None:
    shell("schedules", "add", "s", "note", "--payload", '{"about": "tea"}', "--every", "3600")
    assert "holidays" in shell("schedules", "pause", "s", "--reason", "holidays").stdout
    paused = json.loads(shell("schedules", "show", "s", "--json").stdout)
    assert (paused["paused"]["reason"], paused["next_tick"]) == ("holidays", None)
    assert "paused" in shell("schedules", "list").stdout
    id = json.loads(shell("schedules", "trigger", "s", "--json").stdout)["id"]
    assert id.startswith("s@")
    assert json.loads(shell("status", id, "--json").stdout)["state"] == "queued"
    assert json.loads(shell("schedules", "resume", "s", "--json").stdout)["paused"] is None


def test_a_schedule_is_removed_after_asking(shell: Shell) -> None:
    shell("schedules", "add", "s", "note", "--payload", '{"about": "tea"}', "--every", "60")
    assert shell("schedules", "remove", "s").exit_code == 2
    assert shell("schedules", "remove", "s", "--yes").stderr == "schedule s is removed\n"
    gone = shell("schedules", "remove", "s", "--yes")
    assert gone.exit_code == 1
    assert "no schedule 's'" in gone.stderr


def test_what_cannot_work_is_a_wrong_use(shell: Shell) -> None:
    minutely = ["--cron", "* * * * *"]
    for wrong in (["--cron", "never"], ["--every", "60", *minutely], [], [*minutely, "--zone", "X"]):
        result = shell("schedules", "add", "s", "note", "--payload", '{"about": "tea"}', *wrong)
        assert result.exit_code == 2, result.stderr
    assert shell("schedules", "add", "s", "note", "--payload", '{"wrong": 1}', "--every", "60").exit_code != 0
    assert shell("schedules", "show", "s").exit_code == 1


def _told_by_doctor(shell: Shell) -> list[dict[str, str]]:
    checks = json.loads(shell("doctor", "--json").stdout)["checks"]
    return [check for check in checks if check["what"].startswith("schedule ")]


def test_the_doctor_names_a_schedule_that_nobody_serves_and_one_that_was_forgotten(shell: Shell, world: World) -> None:
    shell("schedules", "add", "s", "note", "--payload", '{"about": "tea"}', "--every", "60")
    (found,) = [
        check for check in json.loads(shell("doctor", "--json").stdout)["checks"] if "schedule" in check["what"]
    ]
    assert (found["status"], found["change"]) == ("warn", "start one: jobkit worker note")

    async def pause_long_ago(planes: Planes) -> None:
        kept = await planes.inspection.schedule("s")
        assert kept is not None
        paused = replace(load_schedule(kept.definition), pause=Pause("ann", kept.seen - 3 * 86_400))
        assert await planes.inspection.save_schedule(replace(kept, definition=paused.dump(), due=None)) == []

    world.ask(pause_long_ago)
    (found,) = [
        check for check in json.loads(shell("doctor", "--json").stdout)["checks"] if "schedule" in check["what"]
    ]
    assert "paused for 3 days, by ann" in found["what"]


def test_a_schedule_that_cannot_be_read_is_named_hides_no_other_and_can_be_removed(shell: Shell, world: World) -> None:
    shell("schedules", "add", "s", "note", "--payload", '{"about": "tea"}', "--every", "60")
    newer = KeptSchedule("newer", "note", b'{"version": 9}', 0, 1.0)

    async def keep(planes: Planes) -> None:
        assert await planes.inspection.save_schedule(newer) == []

    world.ask(keep)
    unread, read = json.loads(shell("schedules", "list", "--json").stdout)
    assert (unread["name"], unread["type"], unread["next_tick"]) == ("newer", "note", None)
    assert "cannot be read" in unread["unreadable"]
    assert (read["name"], read["unreadable"]) == ("s", None)
    assert list(unread) == list(read)
    assert "unreadable" in shell("schedules", "list").stdout
    assert "cannot be read" in shell("schedules", "show", "newer").stdout
    refused = shell("schedules", "pause", "newer")
    assert (refused.exit_code, "'newer' cannot be read" in refused.stderr) == (1, True)
    assert [check["change"] for check in _told_by_doctor(shell)] == [
        "jobkit schedules remove newer, or upgrade", "start one: jobkit worker note",
    ]  # fmt: skip
    assert shell("schedules", "remove", "newer", "--yes").stderr == "schedule newer is removed\n"
    assert [one["name"] for one in json.loads(shell("schedules", "list", "--json").stdout)] == ["s"]


def test_a_trigger_is_asked_for_again_under_its_id(shell: Shell) -> None:
    shell("schedules", "add", "s", "note", "--payload", '{"about": "tea"}', "--every", "3600")
    for _ in range(2):
        assert json.loads(shell("schedules", "trigger", "s", "--id", "mine", "--json").stdout)["id"] == "mine"
    assert [job["id"] for job in json.loads(shell("jobs", "--json").stdout)] == ["mine"]
