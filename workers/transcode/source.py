"""Where sources come from: a reference of a payload becomes an open file that a media process may read.

Payloads are not trusted. A reference is never part of a command line: processes inherit the open file, so neither a
name nor a link that changes after the check can lead them elsewhere. A hard link within a root cannot be told from
the file itself, and is read like it.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote_to_bytes

from anyio import to_thread

from jobkit import Reject
from workers.transcode.errors import SourceChanged

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

# Causes that lie in the name, not in the moment.
_BAD_NAME = {errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.ENXIO, errno.EILSEQ}


@dataclass(frozen=True, slots=True)
class OpenSource:
    """A source that is open for reading. `reference` is how the payload called it; `size` is in bytes.

    One that `stays` is there for others, too.
    """

    reference: str
    fd: int
    size: int
    modified: int
    stays: bool = True

    def argument(self) -> str:
        """Return what a media process that inherits `fd` opens, from the start."""
        # On Linux every opening has a position of its own; elsewhere the position is shared with this process.
        os.lseek(self.fd, 0, os.SEEK_SET)
        return f"file:/dev/fd/{self.fd}"

    def require_unchanged(self) -> None:
        """Raise `SourceChanged` where the file was written to since it was opened. Deleting it is no change."""
        found = os.fstat(self.fd)
        if (found.st_size, found.st_mtime_ns) != (self.size, self.modified):
            raise SourceChanged(f"source {shown_reference(self.reference)} was written to while it was being read")


class Source(Protocol):
    """A kind of place that sources come from, chosen by URL scheme. One that has no files fetches into a scratch."""

    def open(self, reference: str) -> AbstractAsyncContextManager[OpenSource]:
        """Open what `reference` names, for as long as the block runs.

        Raises `Reject` where it can never be had, `OSError` or `Retry` where it may be another time.
        """
        ...


def open_source(reference: str, sources: Mapping[str, Source]) -> AbstractAsyncContextManager[OpenSource]:
    """Open `reference` with the source of its scheme; a plain path is a file. Raises `Reject`, as `Source.open`."""
    scheme = _SCHEME.match(reference)
    name = scheme[1].lower() if scheme else "file"
    if name not in sources:
        known = ", ".join(f"{known}://" for known in sorted(sources))
        raise Reject(
            f"source {shown_reference(reference)}: no way to read {name}:// here; give a path, or one of {known}"
        )
    return sources[name].open(reference)


@dataclass(frozen=True, slots=True)
class FileSource:
    """Files that lie in one of `roots`; a relative path is looked for in each of them, in order."""

    roots: Sequence[Path]

    @asynccontextmanager
    async def open(self, reference: str) -> AsyncIterator[OpenSource]:
        opened = await to_thread.run_sync(self._open, reference)
        try:
            yield opened
        finally:
            os.close(opened.fd)

    def _open(self, reference: str) -> OpenSource:
        if not self.roots:
            raise Reject(
                "this worker reads no sources: name the directories they may lie in with JOBKIT_TRANSCODE_SOURCE_ROOTS"
            )
        path = _path(reference)
        try:
            fd = self._open_in_roots(reference, path)
        except FileNotFoundError as error:
            raise Reject(f"source {shown_reference(reference)} does not exist") from error
        except PermissionError as error:
            raise Reject(f"source {shown_reference(reference)} may not be read by this worker") from error
        except OSError as error:
            if error.errno in _BAD_NAME:
                raise Reject(
                    f"source {shown_reference(reference)} cannot be opened: {os.strerror(error.errno)}"
                ) from error
            raise
        try:
            return _checked(reference, fd)
        except BaseException:
            os.close(fd)
            raise

    def _open_in_roots(self, reference: str, path: Path) -> int:
        for root, real in self._candidates(path):
            if real == root:
                raise Reject(f"source {shown_reference(reference)} is a directory")
            return open_beneath(root, real.relative_to(root).parts)
        if path.is_absolute():
            raise Reject(f"source {shown_reference(reference)} lies outside JOBKIT_TRANSCODE_SOURCE_ROOTS")
        raise Reject(f"source {shown_reference(reference)} does not exist in any of JOBKIT_TRANSCODE_SOURCE_ROOTS")

    def _candidates(self, path: Path) -> Iterator[tuple[Path, Path]]:
        """Yield where `path` leads, with the root that it lies in; both are free of links."""
        roots = [_real(root) for root in self.roots]
        for root in roots:
            real = _real(root / path)
            # A link may lead from one root into another.
            home = next((home for home in roots if real.is_relative_to(home)), None)
            if home is not None and (path.is_absolute() or os.path.lexists(real)):
                yield home, real


def open_beneath(root: Path, parts: Sequence[str]) -> int:
    """Open the file `root/parts...` for reading without following any link below `root`; return its descriptor.

    The path was checked before; a directory on it that has become a link since is an error here (`OSError`), not a
    way out. Never waits for a writer, should the file be a pipe.
    """
    directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            os.close(directory)
            directory = inner
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return os.open(parts[-1], flags, dir_fd=directory)
    finally:
        os.close(directory)


def _real(path: Path) -> Path:
    # Path.resolve() raises RuntimeError where links form a loop; opening such a path fails by itself.
    return Path(os.path.realpath(path))


def _path(reference: str) -> Path:
    """Return the path that a plain path or a `file://` URL names."""
    path = reference
    url = _SCHEME.match(reference)
    if url:
        # Not urlsplit: it drops line breaks, which a file's name may contain.
        host, _, absolute = reference[url.end() :].partition("/")
        if host not in ("", "localhost") or not absolute or "?" in absolute or "#" in absolute:
            raise Reject(
                f"source {shown_reference(reference)}: write file:///absolute/path, with %3F for '?' and %23 for '#'"
            )
        path = "/" + os.fsdecode(unquote_to_bytes(absolute))
    if "\0" in path:
        raise Reject(f"source {shown_reference(reference)} contains a NUL character")
    return Path(path)


def _checked(reference: str, fd: int) -> OpenSource:
    found = os.fstat(fd)
    if stat.S_ISDIR(found.st_mode):
        raise Reject(f"source {shown_reference(reference)} is a directory")
    if not stat.S_ISREG(found.st_mode):
        raise Reject(f"source {shown_reference(reference)} is not a regular file")
    if found.st_size == 0:
        raise Reject(f"source {shown_reference(reference)} is empty")
    return OpenSource(reference, fd, found.st_size, found.st_mtime_ns)


def shown_reference(reference: str) -> str:
    """Return a reference as it may stand in a message: quoted, on one line, and not too long."""
    quoted = repr(reference)
    return quoted if len(quoted) <= 200 else f"{quoted[:120]}...{quoted[-70:]}"
