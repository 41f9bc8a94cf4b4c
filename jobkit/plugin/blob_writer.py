"""How a processor writes files: at a path that is lent to it, to become blobs of the job as that is given back.

Nobody sees them before the job commits, and of an attempt that does not commit they are garbage.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace
from itertools import accumulate
from pathlib import Path, PurePosixPath

import anyio

from jobkit.errors import EffectInvalid
from jobkit.files.file_set import FileSet
from jobkit.model import names
from jobkit.model.blob import BlobRef, BlobSpace
from jobkit.ports.blobs import Blobs

# A round trip each, to a service far away: hundreds of small ones would take minutes one after another.
FILES_AT_ONCE = 8

# The files of each step that runs here, one within another, as they are written.
step_files: ContextVar[tuple[list[BlobRef], ...]] = ContextVar("step_files", default=())


class BlobWriter:
    """Writes the job's files. They replace the key's earlier ones as a whole when the job commits, or add to them."""

    def __init__(
        self,
        blobs: Blobs,
        space: BlobSpace,
        workdir: Callable[[], Awaitable[Path]],
        check_alive: Callable[[], None] = lambda: None,
        job_id: str = "",
    ) -> None:
        self._blobs = blobs
        self._space = space
        self._workdir = workdir
        self._check_alive = check_alive
        self._job_id = job_id
        # By what a name shares with those that a file system may take for the same: of files, and of their folders.
        self._taken: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        # What wrote the files that came from an earlier attempt, by their names.
        self._adopted: dict[str, str] = {}
        self.written: list[BlobRef] = []
        self.adds = False

    def add_to_committed(self) -> None:
        """Have the commit add this job's files to those that its key has; one of the same name takes its place."""
        self._check_alive()
        self.adds = True

    def manifest(self, committed: Sequence[BlobRef]) -> Sequence[BlobRef]:
        """Return the files that the key is to have, where it has those `committed` so far.

        Raises `EffectInvalid` where two of them cannot be beside each other.
        """
        new = {blob.name for blob in self.written}
        kept = [blob for blob in committed if blob.name not in new]
        for blob in kept:
            self._take(blob.name)
        return (*kept, *self.written)

    def files(self) -> FileSet:
        """Return the files written so far, with those of finished steps: to be read before anybody else sees them."""
        return FileSet(self._space.type, self._space.key, self._blobs, self.written)

    def adopt(self, blobs: Sequence[BlobRef], writer: str) -> None:
        """Have what `writer` wrote in an earlier attempt be this one's. Raises `EffectInvalid` for a name taken."""
        for blob in blobs:
            name = self._claim(blob.name)
            if any(other.name == name for other in self.written):
                raise EffectInvalid(f"blob {name!r} was written in {writer}, and again in this attempt")
            self._adopted[name] = writer
        self._add(blobs)

    def forget(self, blobs: Sequence[BlobRef]) -> None:
        """Have files that were written in this attempt be none of the job's."""
        for files in (self.written, *step_files.get()):
            files[:] = [blob for blob in files if blob not in blobs]

    def _add(self, blobs: Sequence[BlobRef]) -> None:
        self.written += blobs
        for files in step_files.get():
            files += blobs

    @asynccontextmanager
    async def create(self, name: str) -> AsyncIterator[Path]:
        """Lend a path to write one file at; it becomes the blob `name` when the block ends without an error.

        Raises `FileNotFoundError` where nothing was written there, `EffectInvalid` where no blob can have that name.
        """
        name = self._claim(name)
        path = anyio.Path(await self._workdir() / "blobs" / PurePosixPath(name))
        await path.parent.mkdir(parents=True, exist_ok=True)
        yield Path(path)
        self._check_alive()
        self._add([await self._store(name, Path(path))])

    @asynccontextmanager
    async def directory(self, name: str) -> AsyncIterator[Path]:
        """Lend a directory to fill; every file in it becomes a blob `name/...` when the block ends without an error.

        Raises `EffectInvalid` where no blob can have the name of one of them.
        """
        name = _blob_name(name)
        path = anyio.Path(await self._workdir() / "blobs" / PurePosixPath(name))
        await path.mkdir(parents=True, exist_ok=True)
        yield Path(path)
        self._check_alive()
        files = [found async for found in path.rglob("*") if await found.is_file()]
        named = [
            (self._claim(f"{name}/{file.relative_to(path).as_posix()}"), Path(file)) for file in sorted(files, key=str)
        ]
        self._add(await self._store_all(named))

    async def _store(self, name: str, file: Path) -> BlobRef:
        return replace(await self._blobs.store(self._space, name, file), job_id=self._job_id)

    def _claim(self, name: str) -> str:
        """Return `name` for a blob of this attempt. Raises `EffectInvalid` where it cannot name one."""
        self._check_alive()
        plain = _blob_name(name)
        if plain in self._adopted:
            raise EffectInvalid(f"blob {plain!r} was written in {self._adopted[plain]} already")
        self._take(plain)
        return plain

    def _take(self, plain: str) -> None:
        """Note the name of a file. Raises `EffectInvalid` where another one is in its way."""
        folded = names.folded(plain)
        folders = list(accumulate(folded.split("/")[:-1], "{}/{}".format))
        other = self._taken.get(folded, plain)
        if other != plain:
            raise EffectInvalid(
                f"blob {plain!r} differs from {other!r} in case or in how its letters are encoded alone, which some "
                "file systems take for the same name"
            )
        inside = self._folders.get(folded) or next(filter(None, map(self._taken.get, folders)), None)
        if inside is not None:
            raise EffectInvalid(f"of the blobs {plain!r} and {inside!r} one would be a file and a folder at once")
        self._taken[folded] = plain
        self._folders |= dict.fromkeys(folders, plain)

    async def _store_all(self, files: Sequence[tuple[str, Path]]) -> list[BlobRef]:
        """Store files side by side and return their blobs in the order given. Raises the first error."""
        stored: dict[int, BlobRef] = {}
        waiting = iter(enumerate(files))

        async def store_some() -> None:
            for place, (name, file) in waiting:
                stored[place] = await self._store(name, file)

        try:
            async with anyio.create_task_group() as group:
                for _ in range(min(FILES_AT_ONCE, len(files))):
                    group.start_soon(store_some)
        except ExceptionGroup as failed:
            # What a processor's retry policy knows is the error, not that there were others beside it.
            raise failed.exceptions[0] from failed
        return [stored[place] for place in range(len(files))]


def _blob_name(name: object) -> str:
    try:
        return names.blob_name(name)
    except ValueError as error:
        raise EffectInvalid(str(error)) from error
