"""The versions of ffmpeg that everything here is tried with: the one from the wheel, and the one of Debian 12."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Ffmpeg:
    """One ffmpeg: what it is called in the names of tests, and its program."""

    name: str
    program: Path

    def run(self, *arguments: str, cwd: Path | None = None, stdin: bytes | None = None) -> None:
        """Run it to a good end. Raises `AssertionError` with its own words otherwise."""
        command = [str(self.program), *(() if stdin else ("-nostdin",)), "-v", "error", "-y", *arguments]
        done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]


def of_the_wheel() -> Ffmpeg | None:
    """Return the ffmpeg that the imageio-ffmpeg package brings."""
    spec = find_spec("imageio_ffmpeg")
    folders = spec.submodule_search_locations if spec is not None else None
    found = sorted(binary for folder in folders or [] for binary in (Path(folder) / "binaries").glob("ffmpeg-*"))
    return Ffmpeg("wheel", found[0]) if found else None


def of_debian() -> Ffmpeg | None:
    """Return the ffmpeg of Debian's packages: of those on the PATH the one of the oldest version supported, 5.1."""
    found = shutil.which("ffmpeg")
    if found is None:
        return None
    said = subprocess.run([found, "-version"], check=True, capture_output=True, text=True).stdout
    return Ffmpeg("debian", Path(found)) if re.match(r"ffmpeg version (n?5\.1|.*deb12)", said) else None


NAMES = ("wheel", "debian")
WHEEL, DEBIAN = of_the_wheel(), of_debian()

_MISSING = {
    "wheel": "the imageio-ffmpeg package is not installed",
    "debian": "ffmpeg 5.1, Debian 12's, is not on the PATH",
}


def required(name: str) -> Ffmpeg:
    """Return the ffmpeg of a name; skip the test with a reason where it is missing."""
    found = {"wheel": WHEEL, "debian": DEBIAN}[name]
    if found is None:
        pytest.skip(_MISSING[name])
    return found


def any_installed() -> Ffmpeg:
    """Return the ffmpeg that makes sources: the same one wherever both are installed."""
    found = WHEEL or DEBIAN
    if found is None:
        pytest.skip("no ffmpeg is installed")
    return found
