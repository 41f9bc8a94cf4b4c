"""From a file to an object: in one request where it is small, in parts where it is large.

An object is there whole or not at all, and no part of one outlives an upload that failed or was cancelled, unless the
server could not be told: `jobkit sweep` removes those. The file is read once, a part at a time.

Each upload marks its object. A refusal because the name is taken may be the answer to a retry of a request that had
succeeded, and the mark tells.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import anyio
import structlog
from anyio import to_thread
from botocore.exceptions import ClientError

from jobkit.backends.s3.client import answered
from jobkit.backends.s3.faults import FAULTS, code_of, is_missing, is_taken, is_unconditional
from jobkit.errors import Unavailable
from jobkit.model.plane import Plane

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

T = TypeVar("T")

_log = structlog.get_logger("jobkit.s3")

# What is sent at once, by all uploads of a process together. Each part is in memory as long, and once more in its
# socket's buffer: 128 MiB at most.
PARTS_AT_ONCE = 8
PART_BYTES = 8 * 1024 * 1024
# A service takes no more parts for one object, so those of an object above 78 GiB are larger.
_MOST_PARTS = 9_900
# How long a cancelled upload may take to clean up after itself.
_ABORT_SECONDS = 10.0
_MARK = "jobkit-upload"


class Source:
    """A regular file that is read from its beginning to its end, and what is known of it then."""

    def __init__(self, path: Path, name: str) -> None:
        """Open the file. Raises `FileNotFoundError`, or `ValueError` where it is no regular file."""
        if not S_ISREG(path.lstat().st_mode):
            raise ValueError(f"{path} is not a regular file, so it cannot become the blob {name!r}")
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self._file: BinaryIO = os.fdopen(os.open(path, flags), "rb", buffering=0)
        expected = os.fstat(self._file.fileno()).st_size
        self.part_bytes = max(PART_BYTES, -(-expected // _MOST_PARTS))
        self.size = 0
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was read, in hex."""
        return self._digest.hexdigest()

    def part(self) -> tuple[bytes, str]:
        """Return the next part, which is empty at the end, and its SHA-256 in base64."""
        pieces, left = [], self.part_bytes
        while left and (piece := self._file.read(left)):
            pieces.append(piece)
            left -= len(piece)
        body = b"".join(pieces)
        self.size += len(body)
        self._digest.update(body)
        return body, base64.b64encode(hashlib.sha256(body).digest()).decode()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Uploader:
    """Uploads to one bucket. Its methods raise what the client raises, and `FileExistsError`."""

    def __init__(self, client: S3Client, bucket: str, name: str) -> None:
        self._client = client
        self._bucket = bucket
        self._name = name
        self._free = anyio.Semaphore(PARTS_AT_ONCE)
        # A server that takes no conditions says so once.
        self._condition: dict[str, Any] = {"IfNoneMatch": "*"}

    async def upload(self, source: Source, key: str) -> None:
        """Make an object of all that `source` has. Raises `FileExistsError` where there is one called `key`."""
        async with self._free:
            body, digest = await to_thread.run_sync(source.part)
            if len(body) < source.part_bytes:
                await self._put(key, body, digest)
                return
        await self._in_parts(key, source, body, digest)

    async def _put(self, key: str, body: bytes, digest: str) -> None:
        mark = secrets.token_hex(16)

        async def put() -> None:
            await answered(
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=body,
                    ChecksumSHA256=digest,
                    Metadata={_MARK: mark},
                    **self._condition,
                ),
                size=len(body),
            )

        await self._unless_taken(key, mark, put)

    async def _in_parts(self, key: str, source: Source, first: bytes, digest: str) -> None:
        mark = secrets.token_hex(16)
        # An upload whose id never arrived could not be aborted.
        with anyio.CancelScope(shield=True):
            begun = await answered(
                self._client.create_multipart_upload(
                    Bucket=self._bucket, Key=key, ChecksumAlgorithm="SHA256", Metadata={_MARK: mark}
                )
            )
        upload = begun["UploadId"]
        try:
            parts = await self._send(key, upload, source, first, digest)

            async def complete() -> None:
                await answered(
                    self._client.complete_multipart_upload(
                        Bucket=self._bucket,
                        Key=key,
                        UploadId=upload,
                        MultipartUpload={"Parts": parts},
                        **self._condition,
                    )
                )

            await self._unless_taken(key, mark, complete)
        except BaseException:
            await self._abort(key, upload)
            raise

    async def _send(
        self, key: str, upload: str, source: Source, first: bytes, digest: str
    ) -> Sequence[CompletedPartTypeDef]:
        parts: dict[int, CompletedPartTypeDef] = {}

        async def send(number: int, body: bytes, digest: str) -> None:
            try:
                answer = await answered(
                    self._client.upload_part(
                        Bucket=self._bucket,
                        Key=key,
                        UploadId=upload,
                        PartNumber=number,
                        Body=body,
                        ChecksumSHA256=digest,
                    ),
                    size=len(body),
                )
            finally:
                self._free.release()
            parts[number] = {"PartNumber": number, "ETag": answer["ETag"]}
            if "ChecksumSHA256" in answer:
                parts[number]["ChecksumSHA256"] = answer["ChecksumSHA256"]

        try:
            async with anyio.create_task_group() as group:
                number, body = 1, first
                while True:
                    await self._free.acquire()
                    if number > 1:
                        try:
                            body, digest = await to_thread.run_sync(source.part)
                        except BaseException:
                            self._free.release()
                            raise
                    if not body:
                        self._free.release()
                        break
                    group.start_soon(send, number, body, digest)
                    number += 1
                    # Else it would be kept while the next one is waited for.
                    body = b""
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        return [parts[number] for number in sorted(parts)]

    async def _unless_taken(self, key: str, mark: str, write: Callable[[], Awaitable[T]]) -> None:
        """Write under the condition that nobody else did. Raises `FileExistsError`."""
        try:
            await write()
        except ClientError as error:
            if is_unconditional(error) and self._condition:
                _log.warning(
                    "the server knows no conditional writes; objects are told apart by their names", at=self._name
                )
                self._condition = {}
                if await self._mark_of(key) is not None:
                    raise FileExistsError(f"this attempt already wrote the blob {key}") from error
                await write()
                return
            if not is_taken(error) and code_of(error) != "NoSuchUpload":
                raise
            found = await self._mark_of(key)
            if found == mark:
                return
            if found is None:
                raise Unavailable(Plane.BLOBS, f"{self._name}: {key} was being written by somebody else") from error
            raise FileExistsError(f"this attempt already wrote the blob {key}") from error

    async def _mark_of(self, key: str) -> str | None:
        """Return the mark of the upload that an object came from, "" where it has none; None: there is no object."""
        try:
            found = await answered(self._client.head_object(Bucket=self._bucket, Key=key))
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        return found["Metadata"].get(_MARK, "")

    async def _abort(self, key: str, upload: str) -> None:
        with anyio.CancelScope(shield=True):
            try:
                with anyio.fail_after(_ABORT_SECONDS):
                    await self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)
            except FAULTS as error:
                if not (isinstance(error, ClientError) and code_of(error) == "NoSuchUpload"):
                    _log.warning("an upload could not be aborted; `jobkit sweep` removes it", key=key, error=str(error))
