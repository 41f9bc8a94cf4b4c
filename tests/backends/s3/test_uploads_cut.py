"""Uploads and reads whose server dies, stalls or answers too late."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from jobkit.backends.s3 import client, upload
from jobkit.backends.s3.blobs import S3Blobs, opened_blobs
from jobkit.errors import Unavailable
from jobkit.lab.servers.proxy import Proxy
from jobkit.lab.servers.s3 import S3Server
from jobkit.model.blob import BlobSpace
from jobkit.model.fence import Fence
from jobkit.testing.conformance.harness import PATIENCE_SECONDS
from tests.backends.s3.sending import LARGE, SPACE, a_file, by_way_of, locations, sha256, until


async def test_a_server_that_is_killed_during_an_upload_is_unavailable_and_used_again_once_it_is_back(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TRIES", 2)
    await server.make_bucket("bucket")
    source = a_file(tmp_path / "large", LARGE)
    async with opened_blobs(server.url("bucket", "p")) as blobs:
        before = await blobs.store(SPACE, "before", source)
        send = blobs._client.upload_part

        async def dies_first(**request: Any) -> Any:
            await to_thread.run_sync(server.process.kill)
            return await send(**request)

        with monkeypatch.context() as patched:
            patched.setattr(blobs._client, "upload_part", dies_first)
            with pytest.raises(Unavailable, match=r"^blobs: "):
                await blobs.store(SPACE, "large", source)
        with pytest.raises(Unavailable):
            await locations(blobs)
        await to_thread.run_sync(server.process.start)

        async def back() -> bool:
            try:
                return await locations(blobs) == [before.location]
            except Unavailable:
                return False

        await until(back)
        ref = await blobs.store(BlobSpace("t", "k", Fence(5, "n.2", "me")), "large", source)
        assert await sha256(blobs, ref.location) == ref.sha256 == await sha256(blobs, before.location)
        await blobs.discard([left async for left in blobs.leftovers()])


async def test_a_server_that_stalls_is_unavailable_in_bounded_time(
    place: str, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SILENCE_SECONDS", 0.3)
    monkeypatch.setattr(client, "REQUEST_SECONDS", 1.0)
    monkeypatch.setattr(upload, "_ABORT_SECONDS", 0.5)
    source = a_file(tmp_path / "large", LARGE)
    (tmp_path / "small").write_bytes(b"small")
    async with opened_blobs(by_way_of(proxy, place)) as blobs:
        ref = await blobs.store(SPACE, "small", tmp_path / "small")
        proxy.hold()
        async with asyncio.timeout(PATIENCE_SECONDS):
            for doing in (blobs.store(SPACE, "large", source), locations(blobs), sha256(blobs, ref.location)):
                with pytest.raises(Unavailable):
                    await doing


async def test_a_request_whose_bytes_go_nowhere_ends_at_its_deadline(
    place: str, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "REQUEST_SECONDS", 1.0)
    monkeypatch.setattr(client, "SLOWEST_BYTES_PER_SECOND", 1 << 40)
    async with opened_blobs(by_way_of(proxy, place)) as blobs:
        proxy.hold("up")
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(Unavailable):
                await blobs.store(SPACE, "a", a_file(tmp_path / "a", upload.PART_BYTES - 1))


async def test_connections_that_are_cut_are_made_anew_within_the_call(place: str, proxy: Proxy, tmp_path: Path) -> None:
    source = a_file(tmp_path / "large", LARGE)
    async with opened_blobs(by_way_of(proxy, place)) as blobs:
        send = blobs._client.upload_part
        cuts = iter([True])

        async def cut_once(**request: Any) -> Any:
            if next(cuts, False):
                asyncio.get_running_loop().call_later(0.01, proxy.cut)
            return await send(**request)

        blobs._client.upload_part = cut_once  # type: ignore[method-assign]
        ref = await blobs.store(SPACE, "large", source)
        assert await sha256(blobs, ref.location) == ref.sha256


async def test_a_read_that_is_cut_is_unavailable_and_not_the_end(place: str, proxy: Proxy, tmp_path: Path) -> None:
    async with opened_blobs(by_way_of(proxy, place)) as blobs:
        ref = await blobs.store(SPACE, "large", a_file(tmp_path / "large", LARGE))
        reading = blobs.read(ref.location)
        read = len(await anext(reading))
        proxy.refuse()

        async def rest() -> None:
            nonlocal read
            async for chunk in reading:
                read += len(chunk)

        with pytest.raises(Unavailable):
            await rest()
        assert 0 < read < LARGE
        proxy.heal()
        assert await sha256(blobs, ref.location) == ref.sha256


@pytest.mark.parametrize("size", [5, LARGE])
async def test_a_write_whose_answer_was_lost_is_not_taken_for_somebody_elses(
    blobs: S3Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """The client tries again, and then finds the name taken: by itself."""
    name = "put_object" if size == 5 else "complete_multipart_upload"
    write = getattr(blobs._client, name)

    async def twice(**request: Any) -> Any:
        await write(**request)
        return await write(**request)

    monkeypatch.setattr(blobs._client, name, twice)
    ref = await blobs.store(SPACE, "a", a_file(tmp_path / "a", size))
    assert await sha256(blobs, ref.location) == ref.sha256
    with pytest.raises(FileExistsError):
        await blobs.store(SPACE, "a", tmp_path / "a")
