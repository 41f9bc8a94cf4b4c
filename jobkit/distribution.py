"""What jobkit is called in a package index, and so how its extras are installed.

The name `jobkit` there belongs to somebody else's project: whoever types it installs a stranger's code.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "jobkit-fenced"


def install_hint(*extras: str) -> str:
    """Return the command that installs jobkit with `extras`."""
    return f"pip install '{DISTRIBUTION}[{','.join(extras)}]'" if extras else f"pip install {DISTRIBUTION}"


def installed_version() -> str:
    """Return the version that is installed, or "unknown" where the code runs without having been installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"
