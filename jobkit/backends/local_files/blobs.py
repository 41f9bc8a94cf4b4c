"""The blobs plane on a directory, which may be shared by several machines.

It does not decide what is visible: an object counts only once a commit's manifest points at it. What it promises is
that an object is never seen in part and never changed: it is written aside, synced, and then linked to its name,
which fails where that name is taken.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO
from urllib.parse import unquote

import anyio
from anyio import to_thread

from jobkit.backends.local_files.naming import SCRATCH, path_of
from jobkit.backends.scratch import Scratch, lent, remove_tree
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.blob import BlobRef, BlobSpace
from jobkit.model.blob_location import location_of
from jobkit.model.plane import Plane
from jobkit.ports.blobs import Leftover, StoredObject

_CHUNK_BYTES = 1024 * 1024
# How often to make an object's directories again when a sweeper removes them, being empty, at the same moment.
_LINK_ATTEMPTS = 10


def local_root(url: str) -> Path:
    """Return the directory that `url` names. Raises `ConfigurationError`."""
    scheme, _, path = url.partition(":")
    if path.startswith("//"):
        path = path.removeprefix("//") if path.startswith("///") else ""
    path = unquote(path)
    if scheme != "file" or not path.strip("/") or "\0" in path or "?" in url or "#" in url:
        raise ConfigurationError(
            "use file:relative/dir or file:///absolute/dir (a '?' or '#' in the path is written %3F or %23)"
        )
    return Path(path)


class LocalFileBlobs:
    """`Blobs` below the directory `root`, which is made where only it is missing."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._scratch = Scratch(root / SCRATCH)

    async def start(self) -> None:
        """Make the directory. Raises `ConfigurationError` where it cannot be used."""
        await to_thread.run_sync(self._make_root)

    async def store(self, space: BlobSpace, name: str, source: Path) -> BlobRef:
        return await to_thread.run_sync(self._store, location_of(space, name), name, source)

    def scratch(self, space: BlobSpace) -> AbstractAsyncContextManager[Path]:  # noqa: ARG002  (one disk serves all)
        return lent(self._lend)

    async def read(self, location: str, *, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        file = await to_thread.run_sync(self._open, location)
        try:
            file.seek(start)
            while chunk := await to_thread.run_sync(self._read, file, stop):
                yield chunk
        finally:
            file.close()

    async def size(self, location: str) -> int:
        return await to_thread.run_sync(self._size, location)

    async def link(self, location: str, *, seconds: float, media_type: str) -> str | None:  # noqa: ARG002
        return None

    async def objects(self) -> AsyncIterator[StoredObject]:
        waiting = [self._root]
        while waiting:
            directory = waiting.pop()
            files, directories = await to_thread.run_sync(self._list, directory)
            waiting += directories
            for path, size in files:
                yield StoredObject(path.relative_to(self._root).as_posix(), size)

    async def delete(self, locations: Sequence[str]) -> None:
        await to_thread.run_sync(self._delete, locations)

    async def leftovers(self) -> AsyncIterator[Leftover]:
        with self._translated():
            abandoned = await to_thread.run_sync(self._scratch.abandoned)
        for name, size in abandoned:
            yield Leftover(None, name, size)

    async def discard(self, leftovers: Sequence[Leftover]) -> None:
        with self._translated():
            await to_thread.run_sync(self._scratch.sweep, frozenset(leftover.handle for leftover in leftovers))

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(self._scratch.close)

    # ---- in a thread -----------------------------------------------------------------------------------------------

    def _make_root(self) -> None:
        if not self._root.parent.is_dir():
            raise ConfigurationError(
                f"{self._root}: the directory {self._root.parent} does not exist: create it or choose another path"
            )
        if self._root.exists() and not self._root.is_dir():
            raise ConfigurationError(f"{self._root} is not a directory")
        with self._translated():
            self._root.mkdir(exist_ok=True)
            _sync_directory(self._root.parent)
        if not os.access(self._root, os.W_OK | os.X_OK):
            raise ConfigurationError(f"{self._root}: this user may not write there")

    def _lend(self) -> Path:
        with self._translated():
            return self._scratch.lend()

    def _store(self, location: str, name: str, source: Path) -> BlobRef:
        found = source.lstat()
        if not S_ISREG(found.st_mode):
            raise ValueError(f"{source} is not a regular file, so it cannot become the blob {name!r}")
        with self._translated():
            target = self._path(location)
            if target.exists():
                raise FileExistsError(errno.EEXIST, "this attempt already wrote the blob", location)
            with self._staged(source, found) as staged:
                digest, size = _sync_and_digest(staged)
                self._link(staged, target)
                staged.unlink()
        return BlobRef(name, location, size, digest)

    def _path(self, location: str) -> Path:
        """Return the path of an object. Raises `ValueError` where it is none, or a link leads out of the directory."""
        path = path_of(self._root, location)
        if not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(self._root)):
            raise ValueError(f"blob name {location!r} leads outside of {self._root}")
        return path

    @contextmanager
    def _staged(self, source: Path, found: os.stat_result) -> Iterator[Path]:
        """Yield a file on the objects' disk that is ours, and that nobody else has a name for."""
        directory = self._scratch.directory()
        ours = found.st_nlink == 1 and found.st_uid == os.geteuid()
        if ours and found.st_dev == directory.stat().st_dev:
            yield source
            return
        copy = self._scratch.lend()
        try:
            shutil.copyfile(source, copy / "copy")
            yield copy / "copy"
        finally:
            remove_tree(copy)

    def _link(self, staged: Path, target: Path) -> None:
        for attempt in range(_LINK_ATTEMPTS):
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(staged, target)
                self._sync_up(target.parent)
            except FileNotFoundError:
                if attempt == _LINK_ATTEMPTS - 1:
                    raise
            else:
                return

    def _sync_up(self, directory: Path) -> None:
        """Sync `directory` and those above it: whoever made them may have died before it could."""
        while directory != self._root.parent:
            _sync_directory(directory)
            directory = directory.parent

    def _open(self, location: str) -> BinaryIO:
        with self._translated():
            return os.fdopen(os.open(self._path(location), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")

    def _read(self, file: BinaryIO, stop: int | None) -> bytes:
        with self._translated():
            return file.read(_CHUNK_BYTES if stop is None else max(0, min(_CHUNK_BYTES, stop - file.tell())))

    def _size(self, location: str) -> int:
        with self._open(location) as file:
            return os.fstat(file.fileno()).st_size

    def _list(self, directory: Path) -> tuple[list[tuple[Path, int]], list[Path]]:
        files, directories = [], []
        with self._translated():
            try:
                with os.scandir(directory) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            directories.append(Path(entry.path))
                        elif entry.is_file(follow_symlinks=False):
                            files.extend(_sized(entry))
            except FileNotFoundError:
                # Somebody removed it, being empty, since it was listed.
                if directory == self._root:
                    raise
        return files, [path for path in directories if path != self._root / SCRATCH]

    def _delete(self, locations: Sequence[str]) -> None:
        with self._translated():
            for path in [self._path(location) for location in locations]:
                path.unlink(missing_ok=True)
                self._prune(path.parent)

    def _prune(self, directory: Path) -> None:
        """Remove the directories that became empty."""
        while directory != self._root:
            try:
                directory.rmdir()
            except FileNotFoundError:
                pass
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    return
                raise
            directory = directory.parent

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise
        except FileNotFoundError as error:
            if self._root.is_dir():
                raise
            raise ConfigurationError(
                f"the directory {self._root.absolute()} is not there: is its disk mounted, and is it the one that "
                "JOBKIT_BLOBS_URL is to name?"
            ) from error
        except OSError as error:
            raise self._meaning(error) from error

    def _meaning(self, error: OSError) -> Exception:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return Unavailable(Plane.BLOBS, f"the disk of {self._root} is full; work goes on once there is room")
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return ConfigurationError(
                f"{self._root} cannot be used ({error.strerror}): it must be writable for this user, and its file "
                "system must allow hard links"
            )
        if error.errno in (errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR):
            return ValueError(f"not a usable blob name: {error}")
        return Unavailable(Plane.BLOBS, f"{self._root}: {error}")


def _sync_and_digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
        # Objects never change; this keeps a slip of some other program from changing one.
        os.fchmod(file.fileno(), 0o444)
        return digest, file.tell()


def _sized(entry: os.DirEntry[str]) -> list[tuple[Path, int]]:
    """Return a file with its size in bytes; nothing where it is gone meanwhile."""
    try:
        return [(Path(entry.path), entry.stat(follow_symlinks=False).st_size)]
    except FileNotFoundError:
        return []


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
