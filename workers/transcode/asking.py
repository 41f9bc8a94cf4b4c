"""Runs a command that answers at once, under the limits of media processes."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import anyio

from workers.transcode.process import Limits, environment, launched
from workers.transcode.settings import TranscodeSettings

_SECONDS = 30.0


def reason(code: int, said: str) -> str:
    """Return why a command failed: its last words, which with a traceback are the error itself."""
    return said.splitlines()[-1][-300:] if said else f"it ended with code {code} and said nothing"


async def ask(command: Sequence[str], settings: TranscodeSettings, cwd: Path | None = None) -> tuple[int, str]:
    """Run a command under the limits of media processes; return its exit code and all it said."""
    limits = Limits(settings.memory_mb, round(_SECONDS), settings.max_output_mb, settings.nice)
    try:
        with anyio.fail_after(_SECONDS):
            done = await anyio.run_process(
                launched(command, limits), check=False, stderr=subprocess.STDOUT, env=environment(), cwd=cwd
            )
    except TimeoutError:
        return -1, f"no answer within {_SECONDS:g} s"
    return done.returncode, done.stdout.decode(errors="replace").strip()
