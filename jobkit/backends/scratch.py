"""Scratch space on the disk of the objects, and its removal when its owner has died.

It does not guess from process ids who is alive, which fails across containers and machines: the owner of a scratch
directory holds a lock on a file beside it, and the system lets go of the lock when the owner ends in whatever way.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Set
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import anyio
from anyio import to_thread

_LOCK_SUFFIX = ".lock"


class Scratch:
    """One process's scratch directory, below `base`; made when first asked for."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._lock: int | None = None
        self._directory: Path | None = None

    def directory(self) -> Path:
        """Return this process's directory. Raises `OSError`."""
        if self._directory is None:
            self._base.mkdir(exist_ok=True)
            self.sweep()
            self._directory = self._claim()
        return self._directory

    def lend(self) -> Path:
        """Return a new empty directory."""
        path = self.directory() / secrets.token_hex(8)
        path.mkdir(mode=0o700)
        return path

    def close(self) -> None:
        """Remove all of it and let go of the lock."""
        if self._directory is None or self._lock is None:
            return
        shutil.rmtree(self._directory, ignore_errors=True)
        _lock_path(self._directory).unlink(missing_ok=True)
        os.close(self._lock)
        self._directory = self._lock = None

    def _claim(self) -> Path:
        while True:
            directory = self._base / f"{os.getpid()}-{secrets.token_hex(8)}"
            lock = os.open(_lock_path(directory), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _lock_path(directory).exists():
                self._lock = lock
                directory.mkdir(mode=0o700)
                return directory
            # A sweeper took the new lock for an abandoned one before it was held.
            os.close(lock)

    def sweep(self, names: Set[str] | None = None) -> None:
        """Remove the directories whose owners are gone: all of them, or those with these names. Raises `OSError`."""
        for directory in self._locks():
            if names is None or directory.name in names:
                with _lock_of_nobody(directory) as abandoned:
                    if abandoned:
                        shutil.rmtree(directory, ignore_errors=True)
                        _lock_path(directory).unlink(missing_ok=True)

    def abandoned(self) -> list[tuple[str, int]]:
        """Return the directories whose owners are gone, by name, with the bytes in them. Raises `OSError`."""
        found = []
        for directory in self._locks():
            with _lock_of_nobody(directory) as abandoned:
                if abandoned:
                    found.append((directory.name, _bytes_in(directory)))
        return found

    def _locks(self) -> list[Path]:
        return [path.with_suffix("") for path in self._base.glob(f"*{_LOCK_SUFFIX}")]


@asynccontextmanager
async def lent(lend: Callable[[], Path]) -> AsyncIterator[Path]:
    """Yield the directory that `lend` returns, which is called in a thread; at the end of the block it is removed."""
    path = await to_thread.run_sync(lend)
    try:
        yield path
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(remove_tree, path)


def remove_tree(path: Path) -> None:
    """Remove a directory; what cannot be removed now goes with the process's scratch directory."""
    shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _lock_of_nobody(directory: Path) -> Iterator[bool]:
    """Hold the lock of a directory for the block, and tell whether that could be: then its owner is gone."""
    try:
        lock = os.open(_lock_path(directory), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(lock)


def _bytes_in(directory: Path) -> int:
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):
                total += (Path(parent) / name).lstat().st_size
    return total


def _lock_path(directory: Path) -> Path:
    return directory.with_name(directory.name + _LOCK_SUFFIX)
