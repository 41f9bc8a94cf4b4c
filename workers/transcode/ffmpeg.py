"""Finds ffmpeg, runs it, and tells what its failures mean."""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from anyio import to_thread

from jobkit import Reject
from workers.transcode.errors import FfmpegFailed, Killed
from workers.transcode.process import Finished, Supervisor
from workers.transcode.progress import FfmpegProgress

# ffmpeg leaves with this code when a signal such as SIGTERM made it stop early.
_STOPPED = 255
# And with these where most of the input did not decode, or could not be read as what it claims to be.
_SOURCE_TO_BLAME = (69, 183)
_STDERR_SHOWN = 1500


def find_ffmpeg(setting: str | None) -> Path | None:
    """Return the ffmpeg to use: the one set, else the one on the PATH, else the one of the imageio-ffmpeg wheel."""
    if setting is not None:
        found = shutil.which(setting)
        return None if found is None else Path(found).absolute()
    found = shutil.which("ffmpeg")
    if found is not None:
        return Path(found).absolute()
    # Looked up rather than asked for: its own look-up runs a process and heeds variables that are not ours.
    spec = find_spec("imageio_ffmpeg")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        for binary in sorted((Path(folder) / "binaries").glob("ffmpeg-*")):
            if os.access(binary, os.X_OK):
                return binary
    return None


def required_ffmpeg(setting: str | None) -> Path:
    """Return the ffmpeg to use. Raises `FfmpegFailed` where there is none: a worker that was set up has one."""
    found = find_ffmpeg(setting)
    if found is None:
        raise FfmpegFailed(missing_ffmpeg(setting))
    return found


def missing_ffmpeg(setting: str | None) -> str:
    """Return the sentence that says what to do about a missing ffmpeg."""
    if setting is not None:
        return f"JOBKIT_TRANSCODE_FFMPEG names {setting!r}, which is no program that can be run"
    return (
        "no ffmpeg: install one on the PATH, name one with JOBKIT_TRANSCODE_FFMPEG, or install jobkit's 'ffmpeg' extra"
    )


@dataclass(frozen=True, slots=True)
class Ffmpeg:
    """Runs one ffmpeg binary in one working directory."""

    supervisor: Supervisor
    binary: Path
    directory: Path

    async def run(
        self,
        arguments: Sequence[str],
        *,
        on_seconds: Callable[[float], Awaitable[None]] | None = None,
        reads_source: bool = False,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Run ffmpeg to a good end; `on_seconds` is told how far its output reaches.

        Raises `Reject` where it says that the source is to blame (if `reads_source`), `FfmpegFailed` otherwise, and
        what `Supervisor.run` raises.
        """
        progress = FfmpegProgress()

        async def on_progress() -> None:
            if on_seconds is not None:
                await on_seconds(progress.seconds)

        finished = await self.supervisor.run(
            [str(self.binary), *arguments],
            cwd=self.directory,
            name="ffmpeg",
            on_line=progress.feed,
            on_progress=on_progress,
            sign_of_life=self._written,
            pass_fds=pass_fds,
        )
        failure = judged(finished, reads_source=reads_source)
        if failure is not None:
            raise failure

    async def filters(self) -> frozenset[str]:
        """Return the names of the filters that this ffmpeg has. Raises `FfmpegFailed`."""
        return await self._names("-filters")

    async def formats(self) -> frozenset[str]:
        """Return the names of the formats that this ffmpeg reads. Raises `FfmpegFailed`."""
        return await self._names("-demuxers")

    async def _names(self, listing: str) -> frozenset[str]:
        """Return the second word of each line of a listing."""
        names: set[str] = set()

        def on_line(line: str) -> bool:
            words = line.split()
            names.update(words[1:2])
            return True

        command = [str(self.binary), "-hide_banner", "-v", "error", listing]
        finished = await self.supervisor.run(command, cwd=self.directory, name="ffmpeg", on_line=on_line)
        failure = judged(finished, reads_source=False)
        if failure is not None:
            raise failure
        return frozenset(names)

    async def _written(self) -> object:
        """Return something that changes when files do: moving an index to the front of a file takes minutes."""
        return await to_thread.run_sync(fingerprint, self.directory)


def judged(finished: Finished, *, reads_source: bool) -> Exception | None:
    """Return what an end of ffmpeg means: None for a good one. The source is blamed only on clear words."""
    if finished.code == 0:
        return None
    said = finished.stderr[-_STDERR_SHOWN:] or "it gave no reason"
    if finished.code == _STOPPED:
        return Killed(f"ffmpeg was told to stop from outside: {said}")
    if reads_source and finished.code in _SOURCE_TO_BLAME:
        return Reject(f"the source cannot be transcoded: most of it cannot be decoded: {said}")
    return FfmpegFailed(f"ffmpeg ended with code {finished.code}: {said}")


def fingerprint(directory: Path) -> tuple[tuple[str, int, int], ...]:
    """Return something that changes when files of a directory do: what is written there is a sign of life."""
    found = []
    for folder, _, names in os.walk(directory):
        for name in names:
            path = Path(folder, name)
            try:
                status = path.stat()
            except FileNotFoundError:
                # Renamed between listing and looking: that is a change as well, seen at its new name.
                continue
            found.append((str(path), status.st_size, status.st_mtime_ns))
    return tuple(sorted(found))
