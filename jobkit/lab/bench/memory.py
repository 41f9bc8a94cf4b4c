"""How much memory a process uses, without a package for it: a benchmark runs wherever jobkit is installed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_PROC = Path("/proc")


def resident_bytes(pid: int, *, proc: Path = _PROC) -> int:
    """Return the resident memory of a process in bytes, 0 where it has ended."""
    if (proc / "self").exists():
        try:
            # Pages: of the address space, then of what is resident.
            return int((proc / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (FileNotFoundError, ProcessLookupError):
            return 0
    # Systems without that directory have `ps`, which prints KiB, and nothing for a process that has ended.
    done = subprocess.run(["/bin/ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return int(done.stdout.strip() or 0) * 1024
