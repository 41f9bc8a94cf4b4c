"""Sources that are not files: fetched whole into an attempt's own directory, within bounds, and gone with it.

A connection that breaks is taken up where it broke, as long as the source is still the same; one that gives nothing
more, several times in a row, is given up until the next attempt.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from anyio import to_thread

from jobkit import Reject
from workers.transcode import disk
from workers.transcode.errors import SourceUnreachable
from workers.transcode.process import Clock
from workers.transcode.source import OpenSource, shown_reference

FILE = "fetched-source"
# Breaks in a row, without a byte between them, before an attempt is given up.
_MOST_BREAKS = 4
_PAUSE_SECONDS = 0.5


class Broken(Exception):
    """A connection that broke, or an answer that another moment may not give."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a server gives: bytes from `start` on, of `total` in all; `tag` tells one version from another."""

    start: int
    total: int | None
    tag: str | None
    chunks: AsyncIterator[bytes]


class Remote(Protocol):
    """One source somewhere else."""

    def part(self, start: int, tag: str | None) -> AbstractAsyncContextManager[Part]:
        """Ask for the bytes from `start` on, of the version `tag`; all of them where there is another version.

        Raises `Reject` where it can never be had, `Broken` where it may be another time.
        """
        ...


class Remotes(Protocol):
    """A kind of place, as `https://` is."""

    def named(self, reference: str) -> AbstractAsyncContextManager[Remote]:
        """Reach the source that `reference` names. Raises `Reject` where it may not be."""
        ...


@dataclass(frozen=True, slots=True)
class FetchedSource:
    """Sources of a kind of place, of at most `most_bytes`, each fetched within `seconds` into `directory`."""

    remotes: Remotes
    directory: Path
    most_bytes: int
    seconds: float
    clock: Clock

    @asynccontextmanager
    async def open(self, reference: str) -> AsyncIterator[OpenSource]:
        """Fetch what `reference` names and open it. Raises `Reject`, `SourceUnreachable` or `DiskFull`."""
        path = self.directory / FILE
        try:
            async with self.remotes.named(reference) as remote:
                with path.open("wb") as file:
                    await _Fetch(self, reference, remote, file).run()
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                status = os.fstat(fd)
                if status.st_size == 0:
                    raise Reject(f"source {shown_reference(reference)} is empty")
                yield OpenSource(reference, fd, status.st_size, status.st_mtime_ns, stays=False)
            finally:
                os.close(fd)
        finally:
            path.unlink(missing_ok=True)


class _Fetch:
    """One source on its way."""

    def __init__(self, bounds: FetchedSource, reference: str, remote: Remote, file: BinaryIO) -> None:
        self._bounds = bounds
        self._named = shown_reference(reference)
        self._remote = remote
        self._file = file
        self._done = 0
        self._tag: str | None = None
        self._ends_at = bounds.clock.now() + bounds.seconds

    async def run(self) -> None:
        breaks = 0
        while True:
            before = self._done
            try:
                async with self._remote.part(self._done, self._tag) as part:
                    if await self._take(part):
                        return
                raise Broken("it ended too early")
            except Broken as error:
                breaks = 0 if self._done > before else breaks + 1
                if breaks >= _MOST_BREAKS:
                    raise SourceUnreachable(f"source {self._named} cannot be fetched: {error}") from error
            await self._bounds.clock.sleep(_PAUSE_SECONDS * 2**breaks)

    async def _take(self, part: Part) -> bool:
        """Write what comes; tell whether that was all."""
        if part.start != self._done:
            self._file.seek(0)
            self._file.truncate()
            self._done = 0
        self._tag = part.tag
        self._refuse_large(part.total or 0)
        if part.total is not None:
            left = part.total - self._done
            await to_thread.run_sync(disk.require_room, self._bounds.directory, left, "the source")
        async for chunk in part.chunks:
            self._refuse_large(self._done + len(chunk))
            await to_thread.run_sync(self._file.write, chunk)
            self._done += len(chunk)
            if self._bounds.clock.now() > self._ends_at:
                raise SourceUnreachable(
                    f"source {self._named} could not be fetched within {self._bounds.seconds:g} s "
                    f"(JOBKIT_TRANSCODE_FETCH_TIMEOUT); {self._done} bytes of it came"
                )
        return part.total is None or self._done == part.total

    def _refuse_large(self, size: int) -> None:
        if size > self._bounds.most_bytes:
            limit = f"{self._bounds.most_bytes // 2**20} MiB that JOBKIT_TRANSCODE_MAX_SOURCE_MB allows"
            raise Reject(f"source {self._named} has more than the {limit}")


def allowed_host(host: str, allowed: Sequence[str]) -> bool:
    """Return whether a host is one of those allowed: a name, or `.example.com` for all below it."""
    name = host.lower().rstrip(".")
    return any(name == one or (one.startswith(".") and name.endswith(one)) for one in allowed)
