"""Runs the command in a process of its own, in an empty directory, with no settings but those given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SMALL = ("--jobs", "200", "--keys", "100", "--seconds", "1", "--rate", "20", "--leases", "100", "--concurrency", "50")


def run(directory: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    unset = {name: value for name, value in os.environ.items() if not name.startswith("JOBKIT_")}
    return subprocess.run(
        [sys.executable, "-m", "jobkit", *words],
        cwd=directory,
        env={**unset, **variables},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def measured(directory: Path, *words: str, **variables: str) -> Any:
    done = run(directory, "bench", *SMALL, "--json", *words, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
