"""Where an object lies: names that any key can be turned into, and that nobody can climb out of."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import quote

from jobkit.ports.blobs import BlobSpace

# Names no path of an object starts with, because `quoted` and `checked_name` never make them.
SCRATCH = ".scratch"

# File systems allow 255 bytes; a longer name keeps a readable beginning and is told apart by its hash.
_LONGEST_PART = 150
_READABLE_PART = 80


def quoted(text: str) -> str:
    """Return `text` as one path part: percent-encoded, and shortened where it is long. Different texts differ."""
    # "~" is reserved for shortened names, and a leading dot for the directory's own business.
    part = quote(text, safe="", errors="surrogatepass").replace("~", "%7E")
    if part.startswith("."):
        part = f"%2E{part[1:]}"
    if len(part) <= _LONGEST_PART:
        return part or "%"
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{part[:_READABLE_PART]}~{digest}"


def location_of(space: BlobSpace, name: str) -> str:
    """Return where the object `name` of an attempt lies. Raises `ValueError` where the name leaves its space."""
    attempt = f"{space.fence.token}-{quoted(space.fence.nonce)}"
    return "/".join((quoted(space.type), quoted(space.key), attempt, *_parts(name)))


def path_of(root: Path, location: str) -> Path:
    """Return the path of an object. Raises `ValueError` where the location is none that `location_of` made."""
    parts = _parts(location)
    if parts[0] == SCRATCH:
        raise ValueError(f"{location!r} is not the location of an object")
    return root.joinpath(*parts)


def _parts(name: str) -> list[str]:
    parts = name.split("/")
    if "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise ValueError(
            f"blob name {name!r} must be relative, with '/' between its parts and no '.' or '..' among them"
        )
    return parts
