"""Committed files, for programs without an event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar

from jobkit.client.sync.blocking import blocking
from jobkit.files.file_set import CommittedFile, CommittedFiles, FileSet, OpenFile
from jobkit.handles.sync_handle import Waits, each

T = TypeVar("T")


class Lends(Waits, Protocol):
    """What enters and leaves an asynchronous context manager where the client lives."""

    def lend(self, open: Callable[[], AbstractAsyncContextManager[T]]) -> AbstractContextManager[T]:
        """Return one to be entered and left in the thread of the caller."""
        ...


class SyncOpenFile:
    """A file that is being read: its bytes, in chunks."""

    def __init__(self, opened: OpenFile, waits: Waits) -> None:
        self.file = opened.file
        self._opened = opened
        self._waits = waits

    def __iter__(self) -> Iterator[bytes]:
        return each(self._waits, aiter(self._opened))

    def read(self) -> bytes:
        """Return all bytes that are left. Raises `Unavailable`."""
        return self._waits.wait(self._opened.read)


@contextmanager
def opened(lends: Lends, open: Callable[[], AbstractAsyncContextManager[OpenFile]]) -> Iterator[SyncOpenFile]:
    """Lend a file for a block. Raises what opening it raises."""
    with lends.lend(open) as file:
        yield SyncOpenFile(file, lends)


class SyncFileSet(CommittedFiles):
    """The files of one key as one commit left them, as `FileSet` has them."""

    _files: FileSet

    def __init__(self, files: FileSet, lends: Lends) -> None:
        self.type = files.type
        self.key = files.key
        self._files = files
        self._lends = lends

    def named(self, name: str) -> CommittedFile:
        """Return the file called `name`. Raises `FileMissing` where there is none of that name."""
        return self._files.named(name)

    def call(self, function: Callable[[FileSet], Awaitable[T]]) -> T:
        """Run `function` with the asynchronous set, and return what it returns."""
        return self._lends.wait(lambda: function(self._files))

    def call_with(self, connection: Any, function: Callable[[FileSet, Any], Awaitable[T]]) -> T:
        """Do so; files are never read by a connection of the caller's."""
        return self._lends.wait(lambda: function(self._files, connection))

    read = blocking(FileSet.read)
    download = blocking(FileSet.download)
    url = blocking(FileSet.url)

    def open(self, name: str, *, start: int = 0, stop: int | None = None) -> AbstractContextManager[SyncOpenFile]:
        """Open a file for a block. Raises as `FileSet.open`."""
        return opened(self._lends, lambda: self._files.open(name, start=start, stop=stop))
