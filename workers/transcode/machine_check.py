"""Can this machine transcode at all? Asked by `jobkit doctor`, and when a worker starts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

import anyio
from pydantic import ValidationError

from workers.transcode.ffmpeg import find_ffmpeg, missing_ffmpeg
from workers.transcode.probe import probe_command
from workers.transcode.process import Limits, environment, launched
from workers.transcode.settings import TranscodeSettings

_SECONDS = 30.0
_ENCODERS = ("libx264", "aac", "mjpeg")


async def check() -> Sequence[str]:
    """Return what is wrong here, a sentence each."""
    try:
        settings = TranscodeSettings()
    except ValidationError as error:
        return [f"JOBKIT_TRANSCODE_{'_'.join(map(str, item['loc'])).upper()}: {item['msg']}" for item in error.errors()]
    return [*_root_problems(settings), *await _ffmpeg_problems(settings), *await _pyav_problems(settings)]


def _root_problems(settings: TranscodeSettings) -> list[str]:
    if not settings.source_roots:
        return ["JOBKIT_TRANSCODE_SOURCE_ROOTS is empty: every source is refused until it names directories"]
    return [
        f"JOBKIT_TRANSCODE_SOURCE_ROOTS names {str(root)!r}, which is not a directory that can be read"
        for root in settings.source_roots
        if not (root.is_dir() and os.access(root, os.R_OK | os.X_OK))
    ]


async def _ffmpeg_problems(settings: TranscodeSettings) -> list[str]:
    binary = find_ffmpeg(settings.ffmpeg)
    if binary is None:
        return [missing_ffmpeg(settings.ffmpeg)]
    code, said = await _ask([str(binary), "-hide_banner", "-v", "error", "-encoders"], settings)
    if code != 0:
        return [f"{binary} does not run: {_reason(code, said)}"]
    names = {words[1] for words in map(str.split, said.splitlines()) if len(words) > 1}
    return [f"{binary} has no encoder {name}" for name in _ENCODERS if name not in names]


async def _pyav_problems(settings: TranscodeSettings) -> list[str]:
    # In a process of its own, like all that decodes: a broken wheel does not raise, it crashes.
    code, said = await _ask(probe_command(["[]"]), settings)
    if code == 0:
        return []
    return [f"PyAV does not work, install jobkit's 'transcode' extra: {_reason(code, said)}"]


def _reason(code: int, said: str) -> str:
    """Return why a command failed: its last words, which with a traceback are the error itself."""
    return said.splitlines()[-1][-300:] if said else f"it ended with code {code} and said nothing"


async def _ask(command: Sequence[str], settings: TranscodeSettings) -> tuple[int, str]:
    """Run a command under the limits of media processes; return its exit code and all it said."""
    limits = Limits(settings.memory_mb, round(_SECONDS), settings.max_output_mb, settings.nice)
    try:
        with anyio.fail_after(_SECONDS):
            done = await anyio.run_process(
                launched(command, limits), check=False, stderr=subprocess.STDOUT, env=environment()
            )
    except TimeoutError:
        return -1, f"no answer within {_SECONDS:g} s"
    return done.returncode, done.stdout.decode(errors="replace").strip()
