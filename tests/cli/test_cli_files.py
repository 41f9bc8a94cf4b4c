"""`jobkit files`: what a real worker's job has committed, listed, fetched, linked and served."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from jobkit.client import Client
from jobkit.plugin.registry import Registry
from jobkit.ports.planes import Planes
from jobkit.settings import Settings
from tests.cli.conftest import Shell
from tests.cli.world import COMMAND, World, environment
from tests.files.site import FileSite, film

SECRET = "0123456789abcdef"


@pytest.fixture
def committed(world: World) -> World:
    """A key whose files are committed."""

    async def commit(planes: Planes) -> None:
        site = FileSite(Client(planes, Registry([film]), Settings()), planes, world.directory / "scratch")
        await site.commit({"a.mp4": b"film", "hls/master.m3u8": b"list"})

    world.ask(commit)
    return world


@pytest.mark.usefixtures("committed")
def test_files_are_listed_for_people_and_for_machines(shell: Shell) -> None:
    shown = shell("files", "list", "film", "k").output
    assert "a.mp4" in shown
    assert "video/mp4" in shown
    listed = json.loads(shell("files", "list", "film", "k", "--json").output)
    assert [(file["name"], file["size"]) for file in listed] == [("a.mp4", 4), ("hls/master.m3u8", 4)]
    assert listed[0]["sha256"] == hashlib.sha256(b"film").hexdigest()
    assert "location" not in listed[0]


@pytest.mark.usefixtures("committed")
def test_files_are_fetched_all_or_some_or_to_standard_output(shell: Shell, tmp_path: Path) -> None:
    assert shell("files", "get", "film", "k", "-o", "out").exit_code == 0
    assert (tmp_path / "out/hls/master.m3u8").read_bytes() == b"list"
    fetched = json.loads(shell("files", "get", "film", "k", "a.mp4", "--json").output)
    assert [file["path"] for file in fetched] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == b"film"
    assert shell("files", "get", "film", "k", "a.mp4", "-o", "-").stdout_bytes == b"film"
    several = shell("files", "get", "film", "k", "-o", "-")
    assert several.exit_code == 2
    assert "name it" in several.output


@pytest.mark.usefixtures("committed")
def test_what_is_not_there_is_said_by_name(shell: Shell, tmp_path: Path) -> None:
    missing = shell("files", "get", "film", "k", "b.mp4")
    assert missing.exit_code == 1
    assert "has no file 'b.mp4'; there are 'a.mp4', 'hls/master.m3u8'" in missing.output
    nothing = shell("files", "list", "film", "nobody's")
    assert nothing.exit_code == 1
    assert 'no files are committed for the key "nobody\'s"' in nothing.output
    (tmp_path / "taken").write_text("a file")
    blocked = shell("files", "get", "film", "k", "-o", "taken")
    assert blocked.exit_code == 2
    assert "cannot be written" in blocked.output


@pytest.mark.usefixtures("committed")
def test_a_directory_has_links_only_where_it_is_served(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "jobkit files serve" in shell("files", "url", "film", "k", "a.mp4").output
    unsigned = shell("files", "url", "film", "k", "a.mp4", "--base", "https://files.example/files")
    assert (unsigned.exit_code, "JOBKIT_FILES_SECRET" in unsigned.output) == (2, True)
    monkeypatch.setenv("JOBKIT_FILES_SECRET", SECRET)
    link = shell("files", "url", "film", "k", "a.mp4", "--base", "https://files.example/files/").output.strip()
    assert link.startswith("https://files.example/files/film/k/a.mp4?expires=")
    assert shell("files", "url", "film", "k", "b", "--base", "https://files.example").exit_code == 1
    monkeypatch.setenv("JOBKIT_FILES_SECRET", "short")
    assert "16" in shell("files", "url", "film", "k", "a.mp4", "--base", "https://files.example").output


def test_serving_without_a_secret_has_to_be_meant(shell: Shell) -> None:
    refused = shell("files", "serve")
    assert (refused.exit_code, "--public" in refused.output) == (2, True)


@pytest.mark.usefixtures("committed")
def test_files_are_served_until_ctrl_c(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_FILES_SECRET", SECRET)
    command = [*COMMAND, "files", "serve", "--port", "0"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(JOBKIT_FILES_SECRET=SECRET), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = next(line for line in process.stderr if line.startswith("files at "))
        base = said.removeprefix("files at ").partition("/TYPE/")[0]
        link = shell("files", "url", "film", "k", "hls/master.m3u8", "--base", base).output.strip()
        with urllib.request.urlopen(link) as answer:  # noqa: S310  (its own loopback address)
            assert answer.read() == b"list"
            assert "/@" in answer.geturl()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
