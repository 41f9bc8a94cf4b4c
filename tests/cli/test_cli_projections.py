"""`jobkit state`, `rebuild` and `verify` on projections."""

from __future__ import annotations

import json

import pytest

from jobkit.model.fence import Fence
from jobkit.ports.planes import Planes
from jobkit.projections.projection import ProjectionState
from tests.cli.conftest import Shell
from tests.cli.plugin import Talk, talk
from tests.cli.world import World


def spoken(world: World, *subjects: str) -> None:
    """Have two speeches made about each subject."""
    for about in subjects:
        for text in ("well then", "so be it"):
            world.accepted("speech", {"about": about, "text": text})
    world.worked_off("speech")


def spoiled(world: World, about: str, record: bytes) -> None:
    """Write another record than the log adds up to."""

    async def write(planes: Planes) -> None:
        key = await planes.inspection.key("speech", about)
        assert key is not None
        fence = Fence(key.token + 1, "n", "test")
        assert await planes.store.amend("speech", about, fence, {talk.record: record}, log_length=2) is True

    world.ask(write)


def wrong() -> bytes:
    return talk.dump(ProjectionState(2, Talk(words=99)))


def test_state_shows_a_key_and_what_its_log_adds_up_to(shell: Shell, world: World) -> None:
    spoken(world, "tea")
    lines = shell("state", "speech", "tea").stdout.splitlines()
    assert lines[-1].split(maxsplit=1) == ["talk", '{"words": 5}']
    shown = json.loads(shell("state", "speech", "tea", "--json").stdout)
    assert shown["projections"] == {"talk": {"position": 2, "state": {"words": 5}}}
    assert (shown["log_length"], shown["committed_sequence"]) == (2, 2)
    spoiled(world, "tea", b"null")
    assert "`jobkit rebuild` makes it" in shell("state", "speech", "tea").stdout


def test_state_of_a_key_or_type_that_nobody_knows_is_a_usage_error(shell: Shell, world: World) -> None:
    result = shell("state", "speech", "ale")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "the store knows nothing of the key 'ale'" in result.stderr
    assert shell("state", "speach", "ale").exit_code == 2


def test_rebuild_says_what_it_found_and_mends_only_what_differs(shell: Shell, world: World) -> None:
    spoken(world, "tea", "ale")
    result = shell("rebuild")
    assert (result.exit_code, result.stdout) == (0, "compared 2 with their logs: 2 same\n")
    spoiled(world, "ale", wrong())
    checked = shell("rebuild", "--check")
    assert checked.exit_code == 1
    assert checked.stdout.splitlines()[1].split() == ["differs", "speech", "talk", "2", "ale"]
    verified = shell("verify")
    assert verified.exit_code == 1
    assert "differs from what the log adds up to" in verified.stdout
    rebuilt = json.loads(shell("rebuild", "speech", "--projection", "talk", "--json").stdout)
    assert [(one["key"], one["outcome"]) for one in rebuilt] == [("ale", "rebuilt"), ("tea", "same")]
    assert shell("rebuild", "--check").exit_code == 0
    assert shell("verify").exit_code == 0


def test_rebuild_of_one_key_leaves_the_others(shell: Shell, world: World) -> None:
    spoken(world, "tea", "ale")
    spoiled(world, "tea", wrong())
    assert shell("rebuild", "--key", "ale").stdout == "compared 1 with their logs: 1 same\n"
    assert shell("rebuild", "--key", "nothing").stdout == "no such key is known\n"
    assert shell("rebuild", "--check").exit_code == 1


def test_rebuild_without_such_a_projection_names_those_there_are(shell: Shell, world: World) -> None:
    for arguments in (["note"], ["--projection", "walk"]):
        result = shell("rebuild", *arguments)
        assert result.exit_code == 2
        assert "speech:talk" in result.stderr


def test_verify_repairs_what_is_safe_once_it_was_said_to(shell: Shell, world: World) -> None:
    spoken(world, "tea")
    spoiled(world, "tea", wrong())
    refused = shell("verify", "--repair")
    assert refused.exit_code == 2
    assert "plan: make projection 'talk' of speech/tea anew from its log" in refused.stderr
    assert "say --yes to do it" in refused.stderr
    assert shell("verify").exit_code == 1
    result = shell("verify", "--repair", "--yes")
    assert result.exit_code == 0
    assert "made anew" in result.stderr
    assert result.stdout.endswith("nothing wrong\n")
    assert json.loads(shell("state", "speech", "tea", "--json").stdout)["projections"]["talk"]["state"] == {"words": 5}


def test_verify_has_nothing_to_repair_where_nothing_is_wrong(shell: Shell, world: World) -> None:
    spoken(world, "tea")
    result = shell("verify", "--repair")
    assert (result.exit_code, "plan" in result.stderr) == (0, False)


def test_verify_publishes_what_was_left_in_the_outbox(
    shell: Shell, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.accepted("note", {"about": "tea"}, id="left")
    monkeypatch.setattr("jobkit.ops.verify.lost_jobs.OUTBOX_STALE_SECONDS", 0.0)
    monkeypatch.setattr("jobkit.ops.verify.repair.OUTBOX_STALE_SECONDS", 0.0)
    assert "job left" in shell("verify").stdout
    result = shell("verify", "--repair", "--yes", "--json")
    assert result.exit_code == 0
    assert "published 1 jobs" in result.stderr
    assert json.loads(result.stdout)["findings"] == []
    world.worked_off("note")
    assert json.loads(shell("status", "left", "--json").stdout)["state"] == "committed"
