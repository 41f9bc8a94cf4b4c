"""What the tests of the transcode plugin work with: a context without a runtime, sample media, sight of processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
import structlog

from jobkit import Reject
from jobkit.files import FileReader
from jobkit.model.blob import BlobRef, BlobSpace
from jobkit.model.clock import Clock, SystemClock
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.plugin.context import Context
from jobkit.plugin.follow_ups import FollowUps
from jobkit.plugin.job_info import JobInfo
from jobkit.ports.blobs import Blobs
from jobkit.ports.checkpoints import Checkpoint, SaveAnswer
from jobkit.ports.inspection import Inspection
from jobkit.ports.store import Store
from jobkit.projections.reader import ProjectionReader
from workers.transcode import Transcode, TranscodeResult, transcode
from workers.transcode.ffmpeg import required_ffmpeg
from workers.transcode.profile import known_profiles
from workers.transcode.settings import TranscodeSettings
from workers.transcode.working_encoders import WorkingEncoders

FFMPEG = str(required_ffmpeg(None))


def wheel_ffmpeg() -> str | None:
    """Return the ffmpeg of the imageio-ffmpeg package."""
    spec = find_spec("imageio_ffmpeg")
    folders = (spec.submodule_search_locations or []) if spec is not None else []
    return next((str(path) for folder in folders for path in sorted(Path(folder, "binaries").glob("ffmpeg-*"))), None)


# What the plugin is tested with: versions that differ by years.
FFMPEGS = {"wheel": wheel_ffmpeg(), "system": shutil.which("ffmpeg")}
# Older versions cannot make every kind of source.
_SOURCE_FFMPEG = FFMPEGS["wheel"] or FFMPEG


class ScriptedClock:
    """A clock that shows what a test wants, so that a slow machine cannot make anything late."""

    def __init__(self, reading: Callable[[], float]) -> None:
        self._reading = reading

    def now(self) -> float:
        return self._reading()

    def wall(self) -> float:
        return self._reading()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(0.01)


class ProgressStore:
    """A store that knows of progress and steps only; `holds_lease` False answers as one that has seen a newer lease."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, str]] = []
        self.holds_lease = True
        self.steps: dict[str, Checkpoint] = {}

    async def checkpoints(self, id: str) -> list[Checkpoint]:
        return list(self.steps.values())

    async def save_checkpoint(self, envelope: Envelope, fence: Fence, checkpoint: Checkpoint) -> SaveAnswer:
        self.steps[checkpoint.step] = checkpoint
        return SaveAnswer.SAVED

    async def progress(self, envelope: Envelope, fence: Fence, *, fraction: float, message: str) -> bool:
        self.seen.append((fraction, message))
        return self.holds_lease


class FolderBlobs:
    """Blobs in a folder, by their name alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def store(self, space: BlobSpace, name: str, source: Path) -> BlobRef:
        return self._move(name, source)

    def _move(self, name: str, source: Path) -> BlobRef:
        target = self.folder / name
        if target.exists():
            raise FileExistsError(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        size = source.stat().st_size
        source.rename(target)
        return BlobRef(name, str(target), size, "")

    @asynccontextmanager
    async def scratch(self, space: BlobSpace) -> AsyncIterator[Path]:
        # On the same disk as the blobs, with a name that would upset anything that takes names for patterns.
        with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix="scratch %d '") as folder:
            yield Path(folder)


class Desk:
    """Runs the processor as the runtime would, and keeps what came of it."""

    def __init__(self, folder: Path) -> None:
        self.sources = folder / "sources"
        self.blobs = folder / "blobs"
        self.sources.mkdir()
        self.blobs.mkdir()
        self.store = ProgressStore()
        self.clock: Clock = SystemClock()
        self.settings: dict[str, Any] = {
            "source_roots": (self.sources,),
            "preset": "ultrafast",
            "segment_seconds": 1.0,
            "kill_grace": 0.5,
            "nice": 0,
        }

    def place(self, source: Path, name: str | None = None) -> str:
        """Put a copy of a file where the processor may read it; return its path."""
        return str(shutil.copyfile(source, self.sources / (name or source.name)))

    async def run(self, source: str, **fields: Any) -> TranscodeResult:
        """Transcode `source`; `fields` are more of the payload."""
        payload = Transcode(video_id="v1", source=source, **fields)
        async with AsyncExitStack() as resources:
            settings = TranscodeSettings(**self.settings)
            encoders = WorkingEncoders(settings, known_profiles(settings))
            return await transcode(payload, self.context(resources), encoders=encoders)

    def context(self, resources: AsyncExitStack) -> Context:
        return Context(
            job=JobInfo("job-1", "transcode", "v1", None, 1, 0.0),
            envelope=Envelope("job-1", "transcode", b"{}", key="v1"),
            fence=Fence(1, "nonce", "owner"),
            store=cast(Store, self.store),
            blobs=cast(Blobs, FolderBlobs(self.blobs)),
            clock=self.clock,
            log=structlog.get_logger(),
            settings={TranscodeSettings: TranscodeSettings(**self.settings)},
            follow_ups=cast(FollowUps, None),
            file_reader=FileReader(cast(Inspection, None), cast(Blobs, FolderBlobs(self.blobs))),
            projection_reader=ProjectionReader(
                cast(Store, self.store), cast(Inspection, None), "transcode", "v1", 0, ()
            ),
            resources=resources,
        )

    def outputs(self) -> list[str]:
        """Return the names of all blobs."""
        return sorted(str(path.relative_to(self.blobs)) for path in self.blobs.rglob("*") if path.is_file())

    def left_behind(self) -> list[Path]:
        """Return scratch folders that were not removed."""
        return list(self.blobs.parent.glob("scratch*"))


class Samples:
    """Small media files, each made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(
        self,
        name: str,
        *,
        size: str = "320x180",
        seconds: float = 2,
        rate: str = "25",
        sound: str | None = "sine=frequency=440:sample_rate=44100",
        picture: str | None = None,
        options: tuple[str, ...] = (),
    ) -> Path:
        """Return the file `name`, made from ffmpeg's test sources; `options` come before the output."""
        path = self._folder / name
        if not path.exists():
            inputs = ["-f", "lavfi", "-i", picture or f"testsrc2=size={size}:rate={rate}"]
            if sound:
                inputs += ["-f", "lavfi", "-i", sound]
            codec = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", "-c:a", "aac"]
            self.ffmpeg(*inputs, "-t", str(seconds), *codec, *options, f"file:{path}")
        return path

    def derive(self, source: Path, name: str, *options: str, before: tuple[str, ...] = ()) -> Path:
        """Return the file `name`, made from another without encoding again unless `options` say so."""
        path = self._folder / name
        if not path.exists():
            self.ffmpeg(*before, "-i", str(source), "-c", "copy", *options, f"file:{path}")
        return path

    def cut(self, source: Path, share: float) -> Path:
        """Return a copy of a file that ends after `share` of its bytes."""
        path = self._folder / f"cut-{share}-{source.name}"
        content = source.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        return path

    def plain(self) -> Path:
        """Return a landscape video with sound, 320x180, 2 s."""
        return self.make("plain.mp4", options=("-movflags", "+faststart"))

    @staticmethod
    def ffmpeg(*arguments: str) -> None:
        subprocess.run([_SOURCE_FFMPEG, "-nostdin", "-v", "error", "-y", *arguments], check=True)


# Servers of the test run that were started before the test, whose own children come and go.
_disregarded: set[int] = set()


def disregard_present_children() -> None:
    """Leave the processes that this one has started by now, and all of theirs, out of `children`."""
    _disregarded.clear()
    _disregarded.update(children())


def children() -> dict[int, str]:
    """Return the processes that this one started, and those they started, with their command lines."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry.name)] = int(status.rpartition(")")[2].split()[1])
    mine = {os.getpid()}
    while found := {pid for pid, parent in parents.items() if parent in mine and pid not in mine | _disregarded}:
        mine |= found
    return {pid: command_line(pid) for pid in mine - {os.getpid()}}


def command_line(pid: int) -> str:
    """Return the command line of a process, empty where it is gone or not yet reaped."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def alive(pid: int) -> bool:
    """Return whether a process still runs; one that only waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def script(path: Path, text: str) -> str:
    """Write a shell script that can be run, and return its path."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


async def rejected(desk: Desk, source: Path) -> str:
    """Run the plugin over a file that it cannot take; return why, having seen that it left nothing behind."""
    with pytest.raises(Reject) as caught:
        await desk.run(desk.place(source))
    assert desk.outputs() == []
    assert desk.left_behind() == []
    return str(caught.value)
