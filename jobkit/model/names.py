"""The names that authors choose, and the one bound of each: the same in every backend, checked where they are written.

Names are compared as they were given, byte for byte. Nothing is normalised, folded or trimmed: two spellings that look
alike are two names. A subclass of `str`, an enum's member say, is the text that it is, whatever its `__str__` says.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from jobkit.model.safe_text import shown

_BLOB_PART_BYTES = 150


@dataclass(frozen=True, slots=True)
class NameRule:
    """What names of one kind may be: 1 to `limit` bytes of UTF-8, without control characters and lone surrogates."""

    what: str
    limit: int

    def check(self, name: object) -> str:
        """Return `name` as plain text. Raises `ValueError` saying what it must be."""
        if not isinstance(name, str):
            raise ValueError(f"{self.what} must be text, not {shown(name)}")
        text = str.__str__(name)
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise ValueError(f"{self.what} must be valid Unicode, not {shown(text)}") from error
        if not 1 <= size <= self.limit:
            raise ValueError(f"{self.what} must be 1 to {self.limit} bytes of UTF-8, not {size}: {shown(text)}")
        if not text.isprintable() and any(unicodedata.category(character) == "Cc" for character in text):
            raise ValueError(f"{self.what} must be without NUL and other control characters: {shown(text)}")
        return text


# A type names queues, resources and folders in every backend, so it keeps to what all of them take.
TYPE_CHARACTERS = 63
_SLUG = re.compile(rf"[a-z][a-z0-9_.-]{{0,{TYPE_CHARACTERS - 1}}}")
_TAKEN = {"leader": "the leases of leaders", "held": "the leases of those who know held jobs"}


def slug(name: object, what: str) -> str:
    """Return a name that keeps to the rule of job types. Raises `ValueError` saying what it must be."""
    if not isinstance(name, str) or not _SLUG.fullmatch(name):
        raise ValueError(
            f"{what} {shown(name)}: use lower-case letters, digits, '.', '_' and '-', a letter first, at most "
            f"{TYPE_CHARACTERS} of them"
        )
    return str.__str__(name)


def type_name(name: object, what: str = "job type") -> str:
    """Return the name of a job type, or of a group of them. Raises `ValueError` where it can be none."""
    text = slug(name, what)
    if text in _TAKEN:
        raise ValueError(f"{what} {text!r} is taken: {_TAKEN[text]} have that name")
    return text


# Together with a type it has to fit into an index entry of every store.
KEY = NameRule("a key", 512)
JOB_ID = NameRule("a job id", 200)
# In the same index entries as a key.
UNIQUE = NameRule("a unique name", KEY.limit)
TENANT = NameRule("a tenant", KEY.limit)
RECORD = NameRule("the name of a record", 200)
KIND = NameRule("the kind of a log entry", 200)
STEP = NameRule("the name of a step", 200)
# "projection:" before it makes it the name of a record.
PROJECTION = NameRule("the name of a projection", 180)
_BLOB = NameRule("the name of a blob", 500)


def blob_name(name: object) -> str:
    """Return `name` if it may name a blob: relative, with '/' between parts that every file system and server keeps.

    Raises `ValueError` saying what it must be.
    """
    try:
        text = _BLOB.check(name)
        for part in text.split("/"):
            _check_part(part)
    except ValueError as error:
        raise ValueError(
            f"blob name {shown(name)} must be a relative path that stays within its job, in characters that every "
            f"file system and server keeps: {error}"
        ) from error
    return text


def _check_part(part: str) -> None:
    if part in ("", ".", ".."):
        raise ValueError("no part of it may be empty, '.' or '..'")
    if part[-1] in ". ":
        raise ValueError(f"no part of it may end with a dot or a blank, as {shown(part)} does")
    if "\\" in part:
        raise ValueError("there may be no backslash in it, which some servers take for '/'")
    if len(part.encode()) > _BLOB_PART_BYTES:
        raise ValueError(f"no part of it may be longer than {_BLOB_PART_BYTES} bytes")


def folded(name: str) -> str:
    """Return what a name shares with those that some file systems take for the same one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
