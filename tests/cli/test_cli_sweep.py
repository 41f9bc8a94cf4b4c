"""`jobkit sweep`: nothing is removed without a word that says so, and what is shown is what is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobkit.model.blob import BlobSpace
from jobkit.model.blob_location import attempt_space
from jobkit.model.fence import Fence
from jobkit.ports.planes import Planes
from tests.cli.conftest import Shell
from tests.cli.world import World

BLOBS = Path("jobkit-blobs")


def _write(world: World, key: str, token: int) -> None:
    async def write(planes: Planes) -> None:
        space = attempt_space(BlobSpace("note", key, Fence(token, "n", "me")), 1)
        async with planes.blobs.scratch(space) as scratch:
            (scratch / "source").write_bytes(b"x" * 2048)
            await planes.blobs.store(space, "page", scratch / "source")

    world.ask(write)


@pytest.fixture
def littered(world: World) -> None:
    """A committed job, and files: two of lost attempts, one of a key that nobody knows, one of somebody else."""
    world.committed(world.accepted("note", {"about": "tea"}, id="t-1"))
    for token in (3, 4):
        _write(world, "tea", token)
    _write(world, "coffee", 3)
    (BLOBS / "README").write_text("mine")


def _files() -> int:
    return sum(1 for path in BLOBS.rglob("*") if path.is_file() and ".scratch" not in path.parts)


def test_without_a_word_that_says_so_garbage_is_only_shown(shell: Shell, littered: None) -> None:
    result = shell("sweep")
    assert result.exit_code == 0
    heading, row, summary = result.stdout.splitlines()
    assert heading.split() == ["TYPE", "WHAT", "COUNT", "SIZE"]
    assert row.split() == ["note", "object", "2", "4.0", "KiB"]
    assert summary == "garbage: 2 files (4.0 KiB); kept: 0 files (0 B)"
    assert "`jobkit sweep --apply` removes it" in result.stderr
    assert "1 file (2.0 KiB) of keys that the store knows nothing of" in result.stderr
    assert "1 file (4 B) that jobkit did not write" in result.stderr
    assert _files() == 4


def test_apply_removes_what_was_shown_and_no_more(shell: Shell, littered: None) -> None:
    result = shell("sweep", "--apply")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "removed: 2 files (4.0 KiB); kept: 0 files (0 B)"
    assert _files() == 2
    assert shell("sweep", "--apply").stdout == "removed: 0 files (0 B); kept: 0 files (0 B)\n"


def test_unknown_keys_go_only_when_that_is_said(shell: Shell, littered: None) -> None:
    shell("sweep", "--apply", "--unknown-keys")
    assert _files() == 1
    assert (BLOBS / "README").exists()


def test_json_says_what_was_found_and_whether_it_is_gone(shell: Shell, littered: None) -> None:
    shown = json.loads(shell("sweep", "--json").stdout)
    assert shown == {
        "removed": False,
        "garbage": [{"type": "note", "kind": "object", "count": 2, "bytes": 4096}],
        "kept": {"count": 0, "bytes": 0},
        "unknown": {"count": 1, "bytes": 2048},
        "foreign": {"count": 1, "bytes": 4},
    }
    assert json.loads(shell("sweep", "--json", "--apply").stdout) == {**shown, "removed": True}
    assert json.loads(shell("sweep", "--json").stdout)["garbage"] == []


def test_a_job_that_runs_keeps_its_files(shell: Shell, world: World) -> None:
    job = world.accepted("note", {"about": "tea"}, id="t-1")
    world.opened(job)
    _write(world, "tea", 7)
    assert "kept: 1 file" in shell("sweep", "--apply").stdout
    assert _files() == 1


def test_how_far_it_has_come_is_said_on_stderr(shell: Shell, littered: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobkit.cli.commands.sweep._NOTE_EVERY", 1)
    monkeypatch.setattr("jobkit.ops.blob_garbage._KEYS_AT_ONCE", 1)
    assert "objects read, " in shell("sweep").stderr
