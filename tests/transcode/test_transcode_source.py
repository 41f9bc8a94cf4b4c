from __future__ import annotations

import os
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import quote

import pytest

from jobkit import Reject
from workers.transcode.errors import SourceChanged
from workers.transcode.source import FileSource, open_beneath, open_source


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"inside")
    (tmp_path / "secret.mp4").write_bytes(b"outside")
    return folder


async def read(reference: str, *roots: Path) -> bytes:
    async with open_source(reference, {"file": FileSource(roots)}) as source:
        assert source.size > 0
        name = source.argument().removeprefix("file:")
        return Path(name).read_bytes()  # noqa: ASYNC240  (a few bytes)


async def reason(reference: str, *roots: Path) -> str:
    with pytest.raises(Reject) as caught:
        await read(reference, *roots)
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "with space.mp4",
        "'quotes\" and `ticks`.mp4",
        "line\nbreak.mp4",
        "-i.mp4",
        "--help",
        "Grüße 映画 🎬.mp4",
        "100%d%20.mp4",
        "concat:a|b.mp4",
        "$(touch x);&.mp4",
        "back\\slash.mp4",
    ],
)
async def test_any_file_name_can_be_read_as_path_and_as_url(root: Path, name: str) -> None:
    (root / name).write_bytes(name.encode())
    assert await read(str(root / name), root) == name.encode()
    assert await read(name, root) == name.encode()
    assert await read("file://" + quote(str(root / name)), root) == name.encode()
    assert await read("file://localhost" + quote(str(root / name)), root) == name.encode()


async def test_relative_path_is_looked_for_in_each_root(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "b.mp4").write_bytes(b"second root")
    assert await read("b.mp4", root, other) == b"second root"


async def test_without_roots_everything_is_refused_and_the_setting_named(root: Path) -> None:
    assert "JOBKIT_TRANSCODE_SOURCE_ROOTS" in await reason(str(root / "a.mp4"))


@pytest.mark.parametrize("scheme", ["s3", "http", "concat", "FTP"])
async def test_unknown_scheme_is_refused_by_name(root: Path, scheme: str) -> None:
    assert f"{scheme.lower()}://" in await reason(f"{scheme}://host/a.mp4", root)


async def test_path_outside_the_roots_is_refused(root: Path, tmp_path: Path) -> None:
    assert "outside" in await reason(str(tmp_path / "secret.mp4"), root)
    assert "outside" in await reason(str(root / ".." / "secret.mp4"), root)
    assert "does not exist" in await reason("../secret.mp4", root)
    assert "outside" in await reason("file://" + str(root) + "/%2E%2E/secret.mp4", root)


async def test_missing_file_outside_the_roots_is_not_told_from_an_existing_one(root: Path, tmp_path: Path) -> None:
    there, missing = str(tmp_path / "secret.mp4"), str(tmp_path / "nothing.mp4")
    assert (await reason(there, root)).replace(there, "") == (await reason(missing, root)).replace(missing, "")


async def test_folder_whose_name_begins_like_a_root_is_outside(root: Path, tmp_path: Path) -> None:
    (tmp_path / "root-2").mkdir()
    (tmp_path / "root-2" / "a.mp4").write_bytes(b"x")
    assert "outside" in await reason(str(tmp_path / "root-2" / "a.mp4"), root)


async def test_link_that_leads_out_of_the_roots_is_refused(root: Path, tmp_path: Path) -> None:
    (root / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (root / "folder").symlink_to(tmp_path)
    assert "outside" in await reason(str(root / "link.mp4"), root)
    assert "outside" in await reason(str(root / "folder" / "secret.mp4"), root)


async def test_link_that_stays_within_the_roots_is_followed(root: Path, tmp_path: Path) -> None:
    (root / "link.mp4").symlink_to("a.mp4")
    assert await read("link.mp4", root) == b"inside"
    (tmp_path / "alias").symlink_to(root)
    assert await read(str(tmp_path / "alias" / "a.mp4"), tmp_path / "alias") == b"inside"


def test_folder_that_became_a_link_after_the_check_is_not_followed(root: Path, tmp_path: Path) -> None:
    (root / "swapped").symlink_to(tmp_path)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        os.close(open_beneath(root, ("swapped", "secret.mp4")))


def test_file_that_became_a_link_after_the_check_is_not_followed(root: Path, tmp_path: Path) -> None:
    (root / "swapped.mp4").symlink_to(tmp_path / "secret.mp4")
    with pytest.raises(OSError, match="Too many levels"):
        os.close(open_beneath(root, ("swapped.mp4",)))


async def test_links_in_a_circle_are_refused(root: Path) -> None:
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    assert "cannot be opened" in await reason(str(root / "one"), root)


async def test_directory_pipe_and_socket_are_refused_without_waiting(root: Path) -> None:
    (root / "folder").mkdir()
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
        assert "is a directory" in await reason(str(root / "folder"), root)
        assert "is a directory" in await reason(str(root), root)
        assert "not a regular file" in await reason(str(root / "pipe"), root)
        assert "cannot be opened" in await reason(str(root / "socket"), root)


async def test_empty_missing_and_unreadable_names_are_refused(root: Path) -> None:
    (root / "empty.mp4").touch()
    assert "is empty" in await reason(str(root / "empty.mp4"), root)
    assert "does not exist" in await reason(str(root / "gone.mp4"), root)
    assert "cannot be opened" in await reason(str(root / "a.mp4" / "inner"), root)
    assert "cannot be opened" in await reason(str(root / ("x" * 300)), root)
    assert "NUL" in await reason("a\0.mp4", root)


@pytest.mark.parametrize("url", ["file://elsewhere/a.mp4", "file://", "file:///a.mp4?x=1", "file:///a.mp4#t=1"])
async def test_file_url_that_is_more_than_a_path_is_refused(root: Path, url: str) -> None:
    assert "file:///absolute/path" in await reason(url, root)


async def test_message_stays_on_one_line_and_short(root: Path) -> None:
    message = await reason("line\nbreak" + "x" * 3000, root)
    assert "\n" not in message
    assert len(message) < 400


async def test_source_that_is_deleted_while_open_can_still_be_read(root: Path) -> None:
    async with open_source("a.mp4", {"file": FileSource((root,))}) as source:
        (root / "a.mp4").unlink()
        assert os.pread(source.fd, 100, 0) == b"inside"
        source.require_unchanged()


async def test_source_that_grows_while_open_is_noticed(root: Path) -> None:
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(open_source("a.mp4", {"file": FileSource((root,))}))
        source.require_unchanged()
        with (root / "a.mp4").open("ab") as file:
            file.write(b"more")
        with pytest.raises(SourceChanged, match=r"a\.mp4"):
            source.require_unchanged()


async def test_descriptor_is_closed_afterwards(root: Path) -> None:
    async with open_source("a.mp4", {"file": FileSource((root,))}) as source:
        fd = source.fd
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
