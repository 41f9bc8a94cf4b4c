"""Where an object lies: `type/key/token-nonce/name`, the same in every backend of blobs.

It is not a secret, and it proves nothing: that a location looks like one of jobkit's does not mean that jobkit wrote
there. Any type, key and name can be turned into a location, different ones never share one, and none leads out of the
place where objects are kept. It is made of letters, digits and `._-%~` alone, so that every file system and server
gives it back as it was; where case is folded, types and keys that differ in case alone are still told apart.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from jobkit.model.blob import BlobSpace
from jobkit.model.fence import Fence
from jobkit.model.names import blob_name

# File systems allow 255 bytes; a longer name keeps a readable beginning and is told apart by its hash.
_LONGEST_PART = 150
_READABLE_PART = 80
_SHORTENED = re.compile(r".+~[0-9a-f]{64}", re.DOTALL)
# Told apart by a part of its hash, since some file systems fold case; it can still be read.
_CASED = re.compile(r"(.+)~[0-9a-f]{16}", re.DOTALL)
_CASED_DIGITS = 16
# Of other letters the bytes are written, which no case is folded of.
_UPPER_CASE = re.compile("[A-Z]")
# S3 takes 1024 bytes, with what comes before the name.
_LONGEST_NAME = 500
_ATTEMPT = re.compile(r"(0|[1-9][0-9]*)-(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Place:
    """What a location tells: the key, as `keyed` writes it, and the fence under which the object was written.

    `nonce` is as it was quoted.
    """

    keyed: str
    token: int
    nonce: str

    def is_under(self, token: int, nonce: str) -> bool | None:
        """Return whether the object was written under this token and nonce, by any attempt; None where that is lost."""
        if self.token != token:
            return False
        written = unquoted(self.nonce)
        if written is None:
            return None
        # An attempt is told apart from others under its fence by a number after the nonce.
        lease, _, attempt = written.rpartition(".")
        return nonce == written or (nonce == lease and attempt.isdecimal())


def quoted(text: str) -> str:
    """Return `text` as one part of a location: percent-encoded, shortened where it is long; different texts differ."""
    part = _escaped(text)
    cased = f"{part}~{_digest(text)[:_CASED_DIGITS]}" if _UPPER_CASE.search(text) else part
    return cased if len(cased) <= _LONGEST_PART else f"{part[:_READABLE_PART]}~{_digest(text)}"


def unquoted(part: str) -> str | None:
    """Return the text that `quoted` made `part` of; None where it was shortened, or is none of its work."""
    cased = _CASED.fullmatch(part)
    try:
        text = "" if part == "%" else unquote(cased[1] if cased else part, errors="surrogatepass")
    except UnicodeDecodeError:
        # Cut in the middle of a character, or never a text.
        return None
    return text if quoted(text) == part else None


def _escaped(text: str) -> str:
    # "~" is reserved for what tells names apart, and a leading dot for a backend's own business.
    part = quote(text, safe="", errors="surrogatepass").replace("~", "%7E")
    return f"%2E{part[1:]}" if part.startswith(".") else part or "%"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def keyed(type: str, key: str) -> str:
    """Return the part of a location that all objects of a key share."""
    return f"{quoted(type)}/{quoted(key)}"


def attempt_space(space: BlobSpace, attempt: int) -> BlobSpace:
    """Return the space of one attempt under a fence: a retry in place keeps its fence, and objects never change."""
    fence = Fence(space.fence.token, f"{space.fence.nonce}.{attempt}", space.fence.owner)
    return BlobSpace(space.type, space.key, fence)


def location_of(space: BlobSpace, name: str) -> str:
    """Return where the object `name` of an attempt lies. Raises `ValueError` where no blob can have that name."""
    attempt = f"{space.fence.token}-{quoted(space.fence.nonce)}"
    return f"{keyed(space.type, space.key)}/{attempt}/{_named(blob_name(name))}"


def location_beside(type: str, key: str, attempt: str, name: str) -> str:
    """Return where the object `name` lies beside others of a key, whose locations have `attempt` as their third part.

    Raises `ValueError` where no blob can have that name, or `attempt` is no such part.
    """
    location = f"{keyed(type, key)}/{attempt}/{_named(blob_name(name))}"
    if place_of(location) is None:
        raise ValueError(f"{attempt!r} is no part of a location")
    return location


def _named(name: str) -> str:
    """Return a blob's name as the end of a location. Names that differ in case alone an attempt has only one of."""
    parts = [_escaped(part) for part in name.split("/")]
    joined = "/".join(parts)
    if len(joined) <= _LONGEST_NAME and max(map(len, parts)) <= _LONGEST_PART:
        return joined
    return f"{_escaped(name)[:_READABLE_PART]}~{_digest(name)}"


def parts_of(location: str) -> list[str]:
    """Return the parts of a location. Raises `ValueError` where one would lead out of its place."""
    parts = location.split("/")
    if "\0" in location or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"blob name {location!r} must be relative, and no part of it may be empty, '.' or '..'")
    return parts


def place_of(location: str) -> Place | None:
    """Return what a location tells; None where jobkit cannot have written there."""
    try:
        parts = parts_of(location)
    except ValueError:
        return None
    if len(parts) < 4 or not all(_is_quoted(part) for part in parts[:2]):
        return None
    attempt = _ATTEMPT.fullmatch(parts[2])
    if attempt is None or not _is_quoted(attempt[2]) or not all(_is_name_part(part) for part in parts[3:]):
        return None
    return Place("/".join(parts[:2]), int(attempt[1]), attempt[2])


def _is_quoted(part: str) -> bool:
    return bool(_SHORTENED.fullmatch(part)) or unquoted(part) is not None


def _is_name_part(part: str) -> bool:
    try:
        return bool(_SHORTENED.fullmatch(part)) or _escaped(unquote(part, errors="strict")) == part
    except UnicodeDecodeError:
        return False
