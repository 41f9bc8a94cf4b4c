"""The blobs plane on S3, or on any server that speaks its protocol.

It does not decide what is visible: an object counts only once a commit's manifest points at it. What it promises is
that an object is there whole or not at all, and that it never changes: it is written under the condition that there is
none of its name. On a server that knows no such condition, the second writer of a name replaces the object of the
first. No two attempts share a name, so only a processor that writes one name twice could notice.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread
from botocore.exceptions import ClientError

from jobkit.backends.s3.address import S3Address, parse_address
from jobkit.backends.s3.client import answered, open_client
from jobkit.backends.s3.faults import code_of, is_missing, translated
from jobkit.backends.s3.upload import Source, Uploader
from jobkit.backends.scratch import Scratch, lent
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.blob import BlobRef, BlobSpace
from jobkit.model.blob_location import location_of, parts_of
from jobkit.model.plane import Plane
from jobkit.ports.blobs import Leftover, StoredObject

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

_CHUNK_BYTES = 1024 * 1024
# What a service takes in one request.
_DELETED_AT_ONCE = 1000
_LONGEST_KEY_BYTES = 1024
# What signature version 4 allows.
_LONGEST_LINK_SECONDS = 7 * 24 * 3600


@asynccontextmanager
async def opened_blobs(url: str, *, scratch: Path | None = None) -> AsyncIterator[S3Blobs]:
    """Lend the blobs at `url` for the block. Raises as `open_blobs` does."""
    blobs = await open_blobs(url, scratch=scratch)
    try:
        yield blobs
    finally:
        await blobs.aclose()


async def open_blobs(url: str, *, scratch: Path | None = None) -> S3Blobs:
    """Return the blobs at `url`, having seen that its bucket can be listed.

    Files on their way lie in `scratch`, which the processes of a machine share; by default where temporary files do.
    Raises `ConfigurationError` where it cannot be, or `Unavailable`.
    """
    address = parse_address(url)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(open_client(address))
        base = scratch or Path(tempfile.gettempdir()) / f"jobkit-scratch-{os.geteuid()}"
        blobs = S3Blobs(address, client, base, stack.pop_all())
        try:
            await blobs.start()
        except BaseException:
            await blobs.aclose()
            raise
    return blobs


class S3Blobs:
    """`Blobs` in a bucket, under a prefix, by way of a directory. `stack` holds what is to be closed with them."""

    def __init__(self, address: S3Address, client: S3Client, scratch: Path, stack: AsyncExitStack) -> None:
        self._client = client
        self._bucket = address.bucket
        self._prefix = address.prefix
        self._name = address.name
        self._stack = stack
        self._uploads = Uploader(client, address.bucket, address.name)
        self._scratch_base = scratch
        self._scratch = Scratch(self._scratch_base)

    async def start(self) -> None:
        """See that the bucket can be listed. Raises `ConfigurationError` or `Unavailable`."""
        with translated(self._name):
            await answered(self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1))

    async def store(self, space: BlobSpace, name: str, source: Path) -> BlobRef:
        location = location_of(space, name)
        key = self._key(location)
        opened = await to_thread.run_sync(Source, source, name)
        try:
            with translated(self._name):
                await self._uploads.upload(opened, key)
        finally:
            opened.close()
        return BlobRef(name, location, opened.size, opened.sha256)

    def scratch(self, space: BlobSpace) -> AbstractAsyncContextManager[Path]:  # noqa: ARG002  (one disk serves all)
        return lent(self._lend)

    async def read(self, location: str, *, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        if stop is not None and stop <= start:
            # A range of HTTP has one byte at least. Whether there is an object is said all the same.
            await self.size(location)
            return
        part = {} if (start, stop) == (0, None) else {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"}
        with translated(self._name):
            try:
                answer = await answered(
                    self._client.get_object(Bucket=self._bucket, Key=self._key(location), **part)  # type: ignore[arg-type]
                )
            except ClientError as error:
                if code_of(error) == "InvalidRange":
                    return
                if is_missing(error):
                    raise self._no_object(location) from error
                raise
        async with answer["Body"] as body:
            while True:
                with translated(self._name):
                    chunk = await body.read(_CHUNK_BYTES)
                if not chunk:
                    return
                yield chunk

    async def size(self, location: str) -> int:
        with translated(self._name):
            try:
                found = await answered(self._client.head_object(Bucket=self._bucket, Key=self._key(location)))
            except ClientError as error:
                if is_missing(error):
                    raise self._no_object(location) from error
                raise
        return found["ContentLength"]

    async def link(self, location: str, *, seconds: float, media_type: str) -> str | None:
        if not 1 <= seconds <= _LONGEST_LINK_SECONDS:
            raise ValueError(f"a link to S3 lasts 1 second to 7 days, not {seconds:g} s")
        with translated(self._name):
            return await self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self._bucket, "Key": self._key(location), "ResponseContentType": media_type},
                ExpiresIn=int(seconds),
            )

    def _no_object(self, location: str) -> FileNotFoundError:
        return FileNotFoundError(f"{self._name}: there is no object {location}")

    async def objects(self) -> AsyncIterator[StoredObject]:
        after: dict[str, str] = {}
        while True:
            with translated(self._name):
                page = await answered(
                    self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, **after)  # type: ignore[arg-type]
                )
            for found in page.get("Contents", ()):
                yield StoredObject(found["Key"].removeprefix(self._prefix), found["Size"])
            if not page.get("IsTruncated"):
                return
            after = {"ContinuationToken": page["NextContinuationToken"]}

    async def delete(self, locations: Sequence[str]) -> None:
        keys = [self._key(location) for location in locations]
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            batch = keys[start : start + _DELETED_AT_ONCE]
            with translated(self._name):
                answer = await answered(
                    self._client.delete_objects(
                        Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True}
                    )
                )
                for failed in answer.get("Errors", ()):
                    if failed.get("Code") != "NoSuchKey":
                        raise ClientError({"Error": failed, "ResponseMetadata": {}}, "DeleteObjects")  # type: ignore[typeddict-item]

    async def leftovers(self) -> AsyncIterator[Leftover]:
        with self._local():
            abandoned = await to_thread.run_sync(self._scratch.abandoned)
        for name, size in abandoned:
            yield Leftover(None, name, size)
        after: dict[str, str] = {}
        while True:
            with translated(self._name):
                page = await answered(
                    self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=self._prefix, **after)  # type: ignore[arg-type]
                )
            for upload in page.get("Uploads", ()):
                size = await self._sent(upload["Key"], upload["UploadId"])
                yield Leftover(upload["Key"].removeprefix(self._prefix), upload["UploadId"], size)
            if not page.get("IsTruncated"):
                return
            after = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    async def discard(self, leftovers: Sequence[Leftover]) -> None:
        scratch = frozenset(leftover.handle for leftover in leftovers if leftover.location is None)
        if scratch:
            with self._local():
                await to_thread.run_sync(self._scratch.sweep, scratch)
        for leftover in leftovers:
            if leftover.location is not None:
                await self._abort(self._key(leftover.location), leftover.handle)

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(self._scratch.close)
            await self._stack.aclose()

    async def _abort(self, key: str, upload: str) -> None:
        with translated(self._name):
            try:
                await answered(self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload))
            except ClientError as error:
                if code_of(error) != "NoSuchUpload":
                    raise

    async def _sent(self, key: str, upload: str) -> int:
        """Return how many bytes of an upload the server has; of one with over a thousand parts, of those."""
        with translated(self._name):
            try:
                parts = await answered(self._client.list_parts(Bucket=self._bucket, Key=key, UploadId=upload))
            except ClientError as error:
                if code_of(error) != "NoSuchUpload":
                    raise
                return 0
        return sum(part["Size"] for part in parts.get("Parts", ()))

    def _key(self, location: str) -> str:
        """Return the key of an object. Raises `ValueError` where it cannot be one."""
        key = self._prefix + "/".join(parts_of(location))
        if len(key.encode("utf-8", "surrogatepass")) > _LONGEST_KEY_BYTES:
            raise ValueError(f"not a usable blob name, since S3 takes {_LONGEST_KEY_BYTES} bytes at most: {location!r}")
        return key

    def _lend(self) -> Path:
        with self._local():
            self._scratch_base.mkdir(mode=0o700, exist_ok=True)
            if self._scratch_base.lstat().st_uid != os.geteuid():
                raise ConfigurationError(f"{self._scratch_base} belongs to somebody else; set TMPDIR to another place")
            return self._scratch.lend()

    @contextmanager
    def _local(self) -> Iterator[None]:
        """Raise as `Unavailable` what is wrong with this machine's disk: a full one passes."""
        try:
            yield
        except OSError as error:
            raise Unavailable(Plane.BLOBS, f"{self._scratch_base}: {error.strerror or error}") from error
