"""Blobs in a directory, where processes die and disks misbehave."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from pathlib import Path

import pytest

from jobkit.backends.local_files.blobs import LocalFileBlobs
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.blob import BlobSpace
from jobkit.model.blob_location import quoted
from jobkit.model.fence import Fence
from tests.backends.children import ROOT, TIMEOUT_SECONDS, environment, python, run

SPACE = BlobSpace("t", "k", Fence(5, "n", "me"))


async def objects(blobs: LocalFileBlobs) -> dict[str, bytes]:
    return {
        stored.location: b"".join([chunk async for chunk in blobs.read(stored.location)])
        async for stored in blobs.objects()
    }


def crashed(directory: Path) -> list[Path]:
    run(python("tests.backends.blob_crasher", directory))
    return sorted(directory.glob("root-*"))


def exists(path: Path) -> bool:
    return path.exists()


async def test_a_process_that_dies_at_any_step_of_storing_leaves_a_whole_object_or_none(tmp_path: Path) -> None:
    roots = crashed(tmp_path)
    assert len(roots) > 10
    found = []
    for root in roots:
        blobs = LocalFileBlobs(root)
        await blobs.start()
        contents = list((await objects(blobs)).values())
        assert contents in ([], [b"whole" * 1000])
        found.append(bool(contents))
        # The dead process's scratch goes when the next one needs some.
        async with blobs.scratch(SPACE):
            assert len(list((root / ".scratch").glob("*.lock"))) == 1
        await blobs.aclose()
        assert list((root / ".scratch").iterdir()) == []
    assert found == sorted(found), "an object, once there, stays"
    assert not found[0]
    assert found[-1]


async def test_scratch_of_a_killed_process_is_swept_and_that_of_a_live_one_is_not(tmp_path: Path) -> None:
    blobs = LocalFileBlobs(tmp_path / "blobs")
    await blobs.start()
    child = subprocess.Popen(  # noqa: ASYNC220  (waited for below)
        python("tests.backends.scratch_holder", tmp_path / "blobs"), cwd=ROOT, env=environment(), stdout=subprocess.PIPE
    )
    assert child.stdout
    theirs = Path(os.fsdecode(child.stdout.readline().strip()))
    async with blobs.scratch(SPACE):
        assert exists(theirs / "file")
    await blobs.aclose()
    child.send_signal(signal.SIGKILL)
    child.wait(TIMEOUT_SECONDS)
    child.stdout.close()
    assert exists(theirs / "file")
    async with blobs.scratch(SPACE):
        assert not exists(theirs)
    await blobs.aclose()


async def test_a_link_planted_among_the_objects_is_not_followed(tmp_path: Path) -> None:
    blobs = LocalFileBlobs(tmp_path / "blobs")
    await blobs.start()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").write_bytes(b"secret")
    (tmp_path / "blobs" / "t").mkdir()
    (tmp_path / "blobs" / "t" / "file").symlink_to(tmp_path / "secret")
    (tmp_path / "blobs" / "t" / "directory").symlink_to(tmp_path / "elsewhere")
    assert await objects(blobs) == {}
    with pytest.raises(ValueError, match="not a usable blob name"):
        async for _ in blobs.read("t/file"):
            pass
    with pytest.raises(ValueError, match="outside"):
        async for _ in blobs.read("t/directory/secret"):
            pass
    with pytest.raises(ValueError, match="outside"):
        await blobs.delete(["t/directory/secret"])
    assert (tmp_path / "elsewhere" / "secret").exists()
    await blobs.aclose()


async def test_scratch_cannot_be_named_as_an_object(tmp_path: Path) -> None:
    blobs = LocalFileBlobs(tmp_path)
    with pytest.raises(ValueError, match="not the location of an object"):
        await blobs.delete([".scratch/x"])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.ENOSPC, Unavailable),
        (errno.EDQUOT, Unavailable),
        (errno.EIO, Unavailable),
        (errno.EROFS, ConfigurationError),
        (errno.EACCES, ConfigurationError),
        (errno.EPERM, ConfigurationError),
    ],
)
async def test_each_trouble_of_the_disk_is_one_clear_error_that_names_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, expected: type[Exception]
) -> None:
    blobs = LocalFileBlobs(tmp_path / "blobs")
    await blobs.start()

    def link(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    async with blobs.scratch(SPACE) as scratch:
        (scratch / "source").write_bytes(b"x")
        with monkeypatch.context() as patch:
            patch.setattr(os, "link", link)
            with pytest.raises(expected, match=str(tmp_path / "blobs")):
                await blobs.store(SPACE, "a", scratch / "source")
        assert await objects(blobs) == {}
        await blobs.store(SPACE, "a", scratch / "source")
    await blobs.aclose()


async def test_a_name_too_long_for_the_disk_is_refused(tmp_path: Path) -> None:
    blobs = LocalFileBlobs(tmp_path / "blobs")
    await blobs.start()
    async with blobs.scratch(SPACE) as scratch:
        (scratch / "source").write_bytes(b"x")
        with pytest.raises(ValueError, match="name"):
            await blobs.store(SPACE, "n" * 300, scratch / "source")
    await blobs.aclose()


async def test_a_directory_that_went_away_is_told(tmp_path: Path) -> None:
    blobs = LocalFileBlobs(tmp_path / "blobs")
    await blobs.start()
    (tmp_path / "blobs").rmdir()
    with pytest.raises(ConfigurationError, match="is its disk mounted"):
        await objects(blobs)
    with pytest.raises(ConfigurationError, match="is its disk mounted"):
        async with blobs.scratch(SPACE):
            pass


async def test_a_directory_whose_parent_is_missing_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nosuch does not exist"):
        await LocalFileBlobs(tmp_path / "nosuch" / "blobs").start()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="not a directory"):
        await LocalFileBlobs(tmp_path / "file").start()


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "~", "%", "é", "x" * 151, "é" * 200, "\udc80"])
def test_any_text_becomes_one_plain_path_part(text: str) -> None:
    part = quoted(text)
    assert part.isascii()
    assert "/" not in part
    assert not part.startswith(".")
    assert 0 < len(part) <= 150


def test_a_short_text_cannot_pose_as_a_shortened_one() -> None:
    long = "x" * 500
    assert quoted(quoted(long)) != quoted(long)
    assert len({quoted(text) for text in ("", "%", "%25", "~", "%7E", ".", "%2E")}) == 7
