"""Objects on a server that dies, stalls, refuses or answers too late, and uploads that end half-way."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tracemalloc
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from botocore.exceptions import ClientError
from structlog.testing import capture_logs

from jobkit.backends.s3 import upload
from jobkit.backends.s3.blobs import S3Blobs, opened_blobs
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.lab.servers.proxy import Proxy
from jobkit.lab.servers.s3 import shared_server
from jobkit.model.blob import BlobRef
from jobkit.plugin.blob_writer import FILES_AT_ONCE, BlobWriter
from tests.backends.s3.sending import LARGE, MIB, SPACE, a_file, by_way_of, locations, sha256, unfinished, until


async def test_a_large_object_is_sent_in_parts_and_reads_back_whole(blobs: S3Blobs, tmp_path: Path) -> None:
    source = a_file(tmp_path / "large", LARGE)
    ref = await blobs.store(SPACE, "large", source)
    assert (ref.size, ref.sha256) == (LARGE, hashlib.sha256(source.read_bytes()).hexdigest())
    assert await sha256(blobs, ref.location) == ref.sha256
    assert [stored.size async for stored in blobs.objects()] == [LARGE]
    assert await unfinished(blobs) == []
    with pytest.raises(FileExistsError):
        await blobs.store(SPACE, "large", source)
    assert await unfinished(blobs) == []


@pytest.mark.parametrize("size", [upload.PART_BYTES - 1, upload.PART_BYTES, upload.PART_BYTES + 1])
async def test_no_byte_is_lost_at_the_edges_of_parts(blobs: S3Blobs, tmp_path: Path, size: int) -> None:
    source = a_file(tmp_path / "edge", size)
    ref = await blobs.store(SPACE, "edge", source)
    assert ref.size == size
    assert await sha256(blobs, ref.location) == hashlib.sha256(source.read_bytes()).hexdigest() == ref.sha256


async def test_an_object_of_hundreds_of_megabytes_takes_bounded_memory(
    blobs: S3Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Smaller parts, so that the bound is far below the object and the test is quick.
    monkeypatch.setattr(upload, "PART_BYTES", 5 * MIB)
    size = 200 * MIB
    source = a_file(tmp_path / "huge", size)
    tracemalloc.start()
    try:
        ref = await blobs.store(SPACE, "huge", source)
        _, sending = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        assert await sha256(blobs, ref.location) == ref.sha256
        _, reading = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Each part that is under way is held twice, the second time by its socket.
    assert sending < 100 * MIB, sending
    assert reading < 32 * MIB, reading


async def test_a_cancelled_upload_leaves_no_object_and_no_parts(place: str, proxy: Proxy, tmp_path: Path) -> None:
    source = a_file(tmp_path / "large", LARGE)
    async with opened_blobs(by_way_of(proxy, place)) as blobs, opened_blobs(place) as watching:
        proxy.delay(0.05)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(blobs.store, SPACE, "large", source)

            async def begun() -> bool:
                return bool(await unfinished(watching))

            await until(begun)
            tasks.cancel_scope.cancel()
        assert await unfinished(watching) == []
        assert await locations(watching) == []


async def test_an_upload_that_is_cancelled_as_it_begins_leaves_no_parts(
    blobs: S3Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = blobs._client.create_multipart_upload
    source = a_file(tmp_path / "large", LARGE)
    async with anyio.create_task_group() as tasks:

        async def cancelled_meanwhile(**request: Any) -> Any:
            answer = await begin(**request)
            tasks.cancel_scope.cancel()
            # Where the cancellation would arrive, and the answer be lost.
            await anyio.lowlevel.checkpoint()
            return answer

        monkeypatch.setattr(blobs._client, "create_multipart_upload", cancelled_meanwhile)
        tasks.start_soon(blobs.store, SPACE, "large", source)
    assert await unfinished(blobs) == []
    assert await locations(blobs) == []


async def test_an_upload_that_could_not_be_aborted_is_said_and_can_be_discarded(
    blobs: S3Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(**request: Any) -> Any:
        raise _answer(500, "InternalError")

    with monkeypatch.context() as patched:
        patched.setattr(blobs._client, "complete_multipart_upload", refused)
        patched.setattr(blobs._client, "abort_multipart_upload", refused)
        with capture_logs() as logs, pytest.raises(Unavailable):
            await blobs.store(SPACE, "large", a_file(tmp_path / "large", LARGE))
    assert ["jobkit sweep" in line["event"] for line in logs] == [True]
    (left,) = [left async for left in blobs.leftovers()]
    assert (left.location, left.size) == ("t/k/5-n.1/large", LARGE)
    await blobs.discard([left])
    await blobs.discard([left])
    assert await unfinished(blobs) == []


async def test_a_server_without_conditions_is_said_once_and_early_checked(
    blobs: S3Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = blobs._client.put_object

    async def unconditional(**request: Any) -> Any:
        if "IfNoneMatch" in request:
            raise _answer(501, "NotImplemented")
        return await put(**request)

    monkeypatch.setattr(blobs._client, "put_object", unconditional)
    with capture_logs() as logs:
        refs = [await blobs.store(SPACE, name, a_file(tmp_path / name, 5)) for name in ("a", "b")]
    assert [line["log_level"] for line in logs] == ["warning"]
    assert sorted(await locations(blobs)) == [ref.location for ref in refs]


async def test_bytes_that_change_on_the_way_are_refused_by_the_server(
    blobs: S3Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("put_object", 5), ("upload_part", LARGE)):
        send = getattr(blobs._client, name)

        async def altered(send: Any = send, **request: Any) -> Any:
            return await send(**{**request, "Body": b"?" + request["Body"][1:]})

        with monkeypatch.context() as patched:
            patched.setattr(blobs._client, name, altered)
            with pytest.raises(Unavailable):
                await blobs.store(SPACE, "a", a_file(tmp_path / "a", size))
    assert await locations(blobs) == []
    assert await unfinished(blobs) == []


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (500, "InternalError", Unavailable),
        (503, "SlowDown", Unavailable),
        (429, "TooManyRequests", Unavailable),
        (400, "RequestTimeout", Unavailable),
        (409, "OperationAborted", Unavailable),
        (404, "NoSuchBucket", ConfigurationError),
        (403, "AccessDenied", ConfigurationError),
        (403, "403", ConfigurationError),
        (403, "RequestTimeTooSkewed", ConfigurationError),
        (400, "ExpiredToken", ConfigurationError),
        (400, "AuthorizationHeaderMalformed", ConfigurationError),
        (301, "PermanentRedirect", ConfigurationError),
    ],
)
async def test_what_passes_is_unavailable_and_what_a_person_must_mend_is_not(
    blobs: S3Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, code: str, expected: type[Exception]
) -> None:
    async def refused(**request: Any) -> Any:
        raise _answer(status, code)

    for name in ("put_object", "list_objects_v2", "get_object", "delete_objects"):
        monkeypatch.setattr(blobs._client, name, refused)
    for doing in (
        blobs.store(SPACE, "a", a_file(tmp_path / "a", 5)),
        locations(blobs),
        sha256(blobs, "t/k/1-n/x"),
        blobs.delete(["t/k/1-n/x"]),
    ):
        with pytest.raises(expected):
            await doing


async def test_hundreds_of_small_files_are_stored_side_by_side(
    place: str, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 segments over a link with 20 ms each way: one after another they would take 12 s."""
    async with opened_blobs(by_way_of(proxy, place)) as blobs:
        most = at_once = 0
        put = blobs._client.put_object

        async def counted(**request: Any) -> Any:
            nonlocal most, at_once
            at_once += 1
            most = max(most, at_once)
            try:
                return await put(**request)
            finally:
                at_once -= 1

        monkeypatch.setattr(blobs._client, "put_object", counted)
        proxy.delay(0.02)

        async def workdir() -> Path:
            return tmp_path

        writer = BlobWriter(blobs, SPACE, workdir)
        async with writer.directory("hls") as directory:
            for number in range(300):
                (directory / f"{number:03}.ts").write_bytes(b"%d" % number)
        assert [ref.name for ref in writer.written] == [f"hls/{number:03}.ts" for number in range(300)]
        assert most == FILES_AT_ONCE
        assert len(await locations(blobs)) == 300


async def test_more_objects_than_a_page_are_all_listed_and_deleted(
    blobs: S3Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"x")
    refs = [await blobs.store(SPACE, f"{number}", tmp_path / "x") for number in range(7)]
    for name, limit in (("list_objects_v2", "MaxKeys"),):
        ask = getattr(blobs._client, name)

        async def by_twos(ask: Any = ask, limit: str = limit, **request: Any) -> Any:
            return await ask(**{**request, limit: 2})

        monkeypatch.setattr(blobs._client, name, by_twos)
    monkeypatch.setattr("jobkit.backends.s3.blobs._DELETED_AT_ONCE", 3)
    assert sorted(await locations(blobs)) == sorted(ref.location for ref in refs)
    await blobs.delete([ref.location for ref in refs])
    assert await locations(blobs) == []


async def test_two_places_of_a_bucket_do_not_see_each_other(tmp_path: Path) -> None:
    server = shared_server()
    await server.make_bucket("shared")
    (tmp_path / "x").write_bytes(b"x")
    names = ("p", "p2", "p/inner")
    for name in names:
        async with opened_blobs(server.url("shared", name)) as blobs:
            await blobs.store(SPACE, "x", tmp_path / "x")
    async with opened_blobs(server.url("shared", "p2")) as blobs:
        assert await locations(blobs) == ["t/k/5-n.1/x"]


async def test_scratch_is_on_this_machine_and_gone_when_the_blobs_are_closed(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with opened_blobs(place) as blobs:
        async with blobs.scratch(SPACE) as path:
            assert path.is_relative_to(tmp_path)
            assert path.parent.stat().st_mode & 0o077 == 0
        assert not path.exists()
    assert list((tmp_path / f"jobkit-scratch-{os.geteuid()}").iterdir()) == []


async def test_of_many_that_send_one_large_name_at_once_the_object_is_of_one_and_no_parts_are_left(
    blobs: S3Blobs, tmp_path: Path
) -> None:
    """That only one of them succeeds is a promise of the server's, which this one keeps for small objects only."""
    files = [a_file(tmp_path / str(number), LARGE + number) for number in range(3)]
    answers = await asyncio.gather(*(blobs.store(SPACE, "a", file) for file in files), return_exceptions=True)
    winners = [answer for answer in answers if isinstance(answer, BlobRef)]
    assert all(isinstance(answer, BlobRef | FileExistsError) for answer in answers), answers
    assert await sha256(blobs, winners[0].location) in {ref.sha256 for ref in winners}
    assert await unfinished(blobs) == []


def _answer(status: int, code: str) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "on purpose"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "Anything",
    )
