"""The committed files of a key: what there is, and its bytes.

A set of files is what one commit made visible, and stays that: a commit that replaces the files while somebody reads
does not mix new bytes into old ones. Bytes that were replaced stay until `jobkit sweep` removes them; who asks for them
after that is told so.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import overload

import anyio

from jobkit.errors import FileMissing, FileReplaced
from jobkit.files.media_types import media_type
from jobkit.model.blob import BlobRef
from jobkit.ports.blobs import Blobs
from jobkit.ports.inspection import Inspection


@dataclass(frozen=True, slots=True)
class CommittedFile:
    """A file that a job of a key has committed: `size` in bytes, `sha256` in hex, `job_id` of the job that wrote it.

    `location` is where its bytes lie in the blobs backend; they never change.
    """

    type: str
    key: str
    name: str
    size: int
    sha256: str
    media_type: str
    job_id: str
    location: str


class OpenFile:
    """A file that is being read: its bytes from `start` on, up to `stop`, in chunks."""

    def __init__(self, file: CommittedFile, chunks: AsyncIterator[bytes]) -> None:
        self.file = file
        self._chunks = chunks

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks

    async def read(self) -> bytes:
        """Return all bytes that are left. Raises `Unavailable`."""
        return b"".join([chunk async for chunk in self._chunks])


class CommittedFiles(Sequence[CommittedFile]):
    """Files that one commit left, as a sequence; whoever is one keeps them in `_files`."""

    _files: Sequence[CommittedFile]

    @overload
    def __getitem__(self, index: int) -> CommittedFile: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[CommittedFile]: ...

    def __getitem__(self, index: int | slice) -> CommittedFile | Sequence[CommittedFile]:
        return self._files[index]

    def __len__(self) -> int:
        return len(self._files)


class FileSet(CommittedFiles):
    """The files of one key as one commit left them, in the order they were written in."""

    def __init__(self, type: str, key: str, blobs: Blobs, manifest: Sequence[BlobRef]) -> None:
        self.type = type
        self.key = key
        self._blobs = blobs
        self.manifest = tuple(manifest)
        self._files = tuple(_file(type, key, blob) for blob in manifest)
        self._named = {file.name: file for file in self._files}

    def __iter__(self) -> Iterator[CommittedFile]:
        return iter(self._files)

    def __repr__(self) -> str:
        return f"FileSet({self.type!r}, {self.key!r}, {[file.name for file in self._files]!r})"

    def named(self, name: str) -> CommittedFile:
        """Return the file called `name`. Raises `FileMissing` where there is none of that name."""
        try:
            return self._named[name]
        except KeyError:
            raise FileMissing(f"{self.type}/{self.key} has no file {name!r}{_there_are(self._named)}") from None

    @asynccontextmanager
    async def open(self, name: str, *, start: int = 0, stop: int | None = None) -> AsyncIterator[OpenFile]:
        """Open a file for the block: its bytes from `start` up to but without `stop`, to its end unless that is given.

        Raises `FileMissing` where there is none of that name, `FileReplaced` where its bytes are gone since this set
        was read, `ValueError` for a range that is none, or `Unavailable`.
        """
        file = self.named(name)
        if start < 0 or (stop is not None and stop < start):
            raise ValueError(f"bytes {start} to {stop} of file {name!r}: no such range")
        async with aclosing(opened(self._blobs, file.location, start, stop)) as chunks:
            # The first chunk is read here, so that what is not there is said before anything is made of it.
            first = await anext(chunks, b"")
            yield OpenFile(file, joined(first, chunks))

    async def read(self, name: str) -> bytes:
        """Return the bytes of a small file. Raises as `open` does."""
        async with self.open(name) as file:
            return await file.read()

    async def download(self, name: str, to: Path) -> CommittedFile:
        """Write a file to the path `to`, which is there whole or as it was before, and return what it is.

        Raises as `open` does, `OSError` where it cannot be written, or `FileReplaced` where its bytes are not those
        that were committed.
        """
        part = to.with_name(f".{to.name}.{os.getpid()}.part")
        digest = hashlib.sha256()
        try:
            async with self.open(name) as source, await anyio.open_file(part, "wb") as target:
                async for chunk in source:
                    digest.update(chunk)
                    await target.write(chunk)
            if digest.hexdigest() != source.file.sha256:
                raise FileReplaced(f"the bytes of {self.type}/{self.key}/{name} are not those that were committed")
            await anyio.Path(part).replace(to)
        finally:
            await anyio.Path(part).unlink(missing_ok=True)
        return source.file

    async def url(self, name: str, *, expires_in: timedelta = timedelta(hours=1)) -> str | None:
        """Return a link to a file that needs no login and ends after `expires_in`; None where the backend makes none.

        S3 makes links that are signed; of a directory of files `jobkit.files.FileLinks` makes links to a
        `FilesApplication`. Raises `FileMissing`, or `ValueError` for a time that the backend does not take.
        """
        file = self.named(name)
        return await self._blobs.link(file.location, seconds=expires_in.total_seconds(), media_type=file.media_type)


class FileReader:
    """Reads what was committed, by type and key."""

    def __init__(self, inspection: Inspection, blobs: Blobs) -> None:
        self._inspection = inspection
        self.blobs = blobs

    async def files(self, type: str, key: str) -> FileSet:
        """Return the files that were committed last for a key: none where none ever were. Raises `Unavailable`."""
        record = await self._inspection.key(type, key)
        return FileSet(type, key, self.blobs, () if record is None else record.manifest)

    @asynccontextmanager
    async def open(
        self, type: str, key: str, name: str, *, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[OpenFile]:
        """Open the committed version of a file, as `FileSet.open` does; replaced meanwhile, it is the newer one."""
        files = await self.files(type, key)
        async with AsyncExitStack() as stack:
            try:
                file = await stack.enter_async_context(files.open(name, start=start, stop=stop))
            except FileReplaced:
                newer = await self.files(type, key)
                if newer.named(name).location == files.named(name).location:
                    raise
                file = await stack.enter_async_context(newer.open(name, start=start, stop=stop))
            yield file


async def opened(blobs: Blobs, location: str, start: int, stop: int | None) -> AsyncGenerator[bytes]:
    """Yield the bytes of an object. Raises `FileReplaced` where they are gone."""
    try:
        async for chunk in blobs.read(location, start=start, stop=stop):
            yield chunk
    except FileNotFoundError as error:
        raise FileReplaced(f"the bytes at {location} are gone: they were replaced, and swept away") from error


async def joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield a chunk that was read already, if it has any bytes, and the rest."""
    if first:
        yield first
    async for chunk in rest:
        yield chunk


def _file(type: str, key: str, blob: BlobRef) -> CommittedFile:
    return CommittedFile(
        type, key, blob.name, blob.size, blob.sha256, media_type(blob.name), blob.job_id, blob.location
    )


def _there_are(named: dict[str, CommittedFile]) -> str:
    if not named:
        return ": it has no files"
    some = ", ".join(repr(name) for name in list(named)[:5])
    return f"; there are {some}{', ...' if len(named) > 5 else ''}"
