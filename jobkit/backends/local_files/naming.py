"""Where an object lies below the directory."""

from __future__ import annotations

from pathlib import Path

from jobkit.model.blob_location import parts_of

# A name that no location starts with: their parts have no leading dot.
SCRATCH = ".scratch"


def path_of(root: Path, location: str) -> Path:
    """Return the path of an object. Raises `ValueError` where the location is none that a backend made."""
    parts = parts_of(location)
    if parts[0] == SCRATCH:
        raise ValueError(f"{location!r} is not the location of an object")
    return root.joinpath(*parts)
