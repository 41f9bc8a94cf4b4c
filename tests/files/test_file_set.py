"""Committed files as programs read them: whole, of one commit, and never those of a job that did not commit."""

from __future__ import annotations

import hashlib
from pathlib import Path

import anyio
import pytest

from jobkit import Context, Payload, processor
from jobkit.errors import FileMissing, FileReplaced, UnknownType
from jobkit.testing import run_job
from tests.files.site import file_site


async def test_what_a_job_committed_is_listed_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    async with file_site(tmp_path) as site:
        id = await site.commit({"720p.mp4": b"video", "hls/master.m3u8": b"#EXTM3U"})
        films = await site.client.files("film", "k")
        assert [(file.name, file.size, file.media_type, file.job_id) for file in films] == [
            ("720p.mp4", 5, "video/mp4", id),
            ("hls/master.m3u8", 7, "application/vnd.apple.mpegurl", id),
        ]
        assert films[0].sha256 == hashlib.sha256(b"video").hexdigest()
        assert list(await site.client.files("film", "another")) == []


async def test_a_part_and_the_whole_of_a_file_are_read(tmp_path: Path) -> None:
    async with file_site(tmp_path) as site:
        await site.commit({"a": b"0123456789", "empty": b""})
        async with site.client.open("film", "k", "a", start=2, stop=5) as file:
            assert (file.file.size, await file.read()) == (10, b"234")
        async with site.client.open("film", "k", "a", start=8) as file:
            assert [chunk async for chunk in file] == [b"89"]
        async with site.client.open("film", "k", "empty") as file:
            assert await file.read() == b""
        with pytest.raises(FileMissing, match="has no file 'b'; there are 'a', 'empty'"):
            async with site.client.open("film", "k", "b"):
                pass
        for start, stop in ((-1, None), (3, 2)):
            with pytest.raises(ValueError, match="range"):
                async with site.client.open("film", "k", "a", start=start, stop=stop):
                    pass
        with pytest.raises(FileMissing, match="it has no files"):
            async with site.client.open("film", "nobody's", "a"):
                pass


async def test_a_download_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    async with file_site(tmp_path) as site:
        await site.commit({"a": b"new"})
        target = tmp_path / "out"
        target.write_bytes(b"old")
        file = await site.client.download("film", "k", "a", target)
        assert (file.name, target.read_bytes()) == ("a", b"new")
        # Somebody changed the bytes behind jobkit's back.
        stored = tmp_path / "blobs" / file.location
        stored.chmod(0o644)
        stored.write_bytes(b"xxx")
        with pytest.raises(FileReplaced, match="not those that were committed"):
            await site.client.download("film", "k", "a", target)
        assert target.read_bytes() == b"new"
        assert [path.name async for path in anyio.Path(tmp_path).glob(".out*")] == []


async def test_a_set_stays_of_one_commit_while_the_files_are_replaced(tmp_path: Path) -> None:
    async with file_site(tmp_path) as site:
        await site.commit({"list": b"old list", "part": b"old part"})
        old = await site.client.files("film", "k")
        assert await old.read("list") == b"old list"
        await site.commit({"list": b"new list", "part": b"new part", "more": b"more"})
        assert await old.read("part") == b"old part"
        with pytest.raises(FileMissing):
            await old.read("more")
        async with old.open("part") as reading:
            await site.sweep()
            assert await reading.read() == b"old part"
        with pytest.raises(FileReplaced, match="swept away"):
            await old.read("part")
        # Who asks by name gets what there is now.
        async with site.client.open("film", "k", "part") as file:
            assert await file.read() == b"new part"


async def test_a_set_that_lost_its_bytes_between_two_looks_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with file_site(tmp_path) as site:
        await site.commit({"a": b"old"})
        stale = await site.client.files("film", "k")
        await site.commit({"a": b"new"})
        await site.sweep()
        answers = [stale, await site.client.files("film", "k")]

        async def files(type: str, key: str) -> object:
            return answers.pop(0)

        monkeypatch.setattr(site.client._files, "files", files)
        async with site.client.open("film", "k", "a") as file:
            assert await file.read() == b"new"
        assert answers == []


async def test_bytes_that_are_lost_are_not_looked_for_for_ever(tmp_path: Path) -> None:
    async with file_site(tmp_path) as site:
        await site.commit({"a": b"lost"})
        (file,) = await site.client.files("film", "k")
        (tmp_path / "blobs" / file.location).unlink()
        with pytest.raises(FileReplaced):
            async with site.client.open("film", "k", "a"):
                pass


class Cut(Payload):
    """Whose film it is."""

    key: str


async def test_a_job_reads_what_is_committed_and_not_what_it_writes() -> None:
    @processor("cut", key=lambda job: job.key)
    async def cut(job: Cut, ctx: Context) -> int:
        async with ctx.blobs.create("mine") as path:
            path.write_bytes(b"not yet")
        assert list(await ctx.files("film", "another")) == []
        return len(await ctx.files())

    assert (await run_job(cut, Cut(key="k"))).result == 0


async def test_files_of_a_group_are_asked_for_by_its_name(tmp_path: Path) -> None:
    from jobkit.backends.registry import memory_planes
    from jobkit.client import Client
    from jobkit.plugin.registry import Registry
    from jobkit.settings import Settings

    @processor("cut", key=lambda job: job.key, group="video")
    async def cut(job: Cut, ctx: Context) -> None:
        """Is in a group."""

    async with memory_planes() as planes:
        client = Client(planes, Registry([cut]), Settings())
        assert list(await client.files("video", "k")) == []
        with pytest.raises(UnknownType, match="video"):
            await client.files("cut", "k")
