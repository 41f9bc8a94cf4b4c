"""How the plugin's own media processes are started: Python, but none of the worker's modules and settings."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

_ROOT = Path(__file__).parents[2]
# Isolated mode leaves out every directory that could bring modules of somebody else's along; this one is named.
_START = (
    "import sys; from importlib import import_module; sys.path.insert(0, sys.argv.pop(1)); "
    "sys.exit(import_module(sys.argv.pop(1)).main(sys.argv[1:]))"
)


def child_command(module: str, arguments: Sequence[str]) -> list[str]:
    """Return the command line that runs `main` of a module of this package in a process of its own."""
    return [sys.executable, "-I", "-c", _START, str(_ROOT), f"workers.transcode.{module}", *arguments]
