"""Versions of what a backend stands on: how they compare, and what is said of one that is too old."""

from __future__ import annotations

import re


def release(version: str) -> tuple[int, ...]:
    """Return the numbers that `version` begins with, none where it begins with no number."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def too_old(product: str, version: str, oldest: str) -> str | None:
    """Return what to say of a version below `oldest`, None of any other; one that cannot be read is taken to be new."""
    if not release(version) or release(version) >= release(oldest):
        return None
    return f"{product} {version} is too old: jobkit needs {oldest} or later"
