"""Becomes another program, after giving this process limits and tying its life to its parent's.

It is no sandbox: what runs here may still read and write whatever its user may. Run as a script, by path, so that
starting it imports nothing of jobkit: `launcher.py PARENT MEMORY_MB CPU_SECONDS FILE_MB NICE COMMAND...`.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
_MIB = 1024 * 1024
_CANNOT_RUN = 127


def main(arguments: list[str]) -> int:
    """Set everything up and become the command; return an exit code only where that failed."""
    parent, memory_mb, cpu_seconds, file_mb, niceness = (int(argument) for argument in arguments[:5])
    command = arguments[5:]
    if sys.platform == "linux":
        _die_with(parent)
        # When memory runs out, the kernel should take this process, not the worker that holds the leases.
        Path("/proc/self/oom_score_adj").write_text("500")
        # macOS does not honour RLIMIT_AS.
        _limit(resource.RLIMIT_AS, memory_mb * _MIB)
    # Without PR_SET_PDEATHSIG (macOS), a media process whose worker was killed runs on until its CPU limit.
    _limit(resource.RLIMIT_CPU, cpu_seconds)
    _limit(resource.RLIMIT_FSIZE, file_mb * _MIB)
    _limit(resource.RLIMIT_CORE, 0)
    os.nice(niceness)
    # Python ignores both, and that is inherited. SIGXFSZ stays ignored: a file that grows too large is then an
    # error with a message, not a death without one.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execv(command[0], command)  # noqa: S606  (no shell is the point)
    except OSError as error:
        print(f"cannot run {command[0]}: {error}", file=sys.stderr)
        return _CANNOT_RUN


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends."""
    import ctypes  # only Linux needs it, and it is half of this script's starting time

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # A parent that died before the line above sends no signal any more.
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    bounded = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (bounded, bounded))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
