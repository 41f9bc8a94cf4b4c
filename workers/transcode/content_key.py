"""The key that a package is encrypted with: asked of whoever keeps the keys, and nowhere here but in memory."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID, uuid5

Encryption = Literal["aes-128", "cenc", "cbcs"]
KEY_BYTES = 16
# What stands between quotes in a playlist: no quotes, blanks or control characters (RFC 8216, 4.2).
_URI = re.compile(r"[^\s\"\x00-\x1f\x7f]{1,2048}")
_KEY_IDS = UUID("3f0c2a1e-6c2f-5c0b-9a54-0d6f5b1f7a52")


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What a key is asked for. A job that is tried again asks with the same `key_id`, a UUID; a later job has another.

    For the same `key_id` the same key is to be given.
    """

    video_id: str
    key_id: str
    encryption: Encryption

    @property
    def in_dash(self) -> bool:
        """Whether samples are encrypted, which DASH knows, and not segments as a whole."""
        return self.encryption != "aes-128"


@dataclass(frozen=True, slots=True)
class ContentKey:
    """A key of 16 bytes, which is never shown, and the `uri` that playlists name: there players ask for it.

    Raises `ValueError` where either cannot be used.
    """

    key: bytes = field(repr=False)
    uri: str

    def __post_init__(self) -> None:
        if not isinstance(self.key, bytes) or len(self.key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        if not isinstance(self.uri, str) or not _URI.fullmatch(self.uri):
            raise ValueError("the URI of a key has 1 to 2048 characters, and no quotes, blanks or control characters")


KeySource = Callable[[KeyRequest], Awaitable[ContentKey]]
"""Gives out keys. Raises `Reject` where a video is to have none, a `Retry` where another time may give one."""


@dataclass(frozen=True, slots=True)
class PackageKey:
    """The key of one package, and what it was asked for by."""

    request: KeyRequest
    content: ContentKey


def key_request(video_id: str, job_id: str, encryption: Encryption) -> KeyRequest:
    """Return what the key of a job's package is asked for by: the same in each attempt."""
    return KeyRequest(video_id, str(uuid5(_KEY_IDS, job_id)), encryption)
