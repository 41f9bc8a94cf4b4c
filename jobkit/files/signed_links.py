"""Links to committed files that end, signed with a secret; and pins: addresses of one version of a key's files.

A playlist names its segments by relative paths. While a video is made anew, who began with the old playlist must go on
with the old segments: so playlists are answered by a redirect to an address that names the version, `@PIN/...`, and
what is relative to it is of that version, too.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote, urlencode

from jobkit.model.clock import Clock, SystemClock

_SIGNATURE_BYTES = 16
# Who holds a link may have the files of a key for so long after it has been followed, at the latest until it ends.
NEVER = 0


@dataclass(frozen=True, slots=True)
class Pin:
    """One version of a key's files: `attempt` is the part of their locations that only they have in common.

    `until`, in Unix seconds, is given where whoever has the pin needs no other leave; `NEVER` where he does.
    """

    attempt: str
    until: int


class FileLinks:
    """Makes and checks what is signed with `secret`, at least 16 characters. Several servers need the same one."""

    def __init__(self, secret: str | None = None, *, clock: Clock | None = None) -> None:
        if secret is not None and len(secret) < 16:
            raise ValueError("the secret that file links are signed with needs 16 characters at least")
        self._secret = secrets.token_bytes(32) if secret is None else secret.encode()
        self._clock = clock or SystemClock()

    def path(self, type: str, key: str, name: str, *, expires_in: timedelta) -> str:
        """Return the path of a file, which needs no other leave until it ends, below a `FilesApplication`.

        It opens the other files of that key, too: a playlist is of no use without its segments. Raises `ValueError`
        where it would have ended already.
        """
        until = int(self._clock.wall() + expires_in.total_seconds())
        if expires_in <= timedelta():
            raise ValueError("a link must end in the future")
        return f"{file_path(type, key, name)}?{self.query(type, key, until)}"

    def query(self, type: str, key: str, until: int) -> str:
        """Return the query that lets whoever has it read the files of a key until then, in Unix seconds."""
        return urlencode({"expires": until, "signature": self._signature("link", type, key, str(until))})

    def allows(self, type: str, key: str, expires: str, signature: str) -> int | None:
        """Return when a link ends that may read the files of a key now; None where it may not."""
        if not expires.isascii() or not expires.isdecimal() or len(expires) > 15:
            return None
        if not self._is_signed(signature, "link", type, key, expires) or int(expires) <= self._clock.wall():
            return None
        return int(expires)

    def pinned(self, type: str, key: str, pin: Pin) -> str:
        """Return `pin` as the part of a path."""
        return f"{pin.attempt}.{pin.until}.{self._signature('pin', type, key, pin.attempt, str(pin.until))}"

    def pin_of(self, type: str, key: str, text: str) -> Pin | None:
        """Return the pin that `text` says; None where nobody with this secret made it for that key, or it has ended."""
        attempt, until, signature = text.rsplit(".", 2) if text.count(".") > 1 else ("", "", "")
        if not attempt or not self._is_signed(signature, "pin", type, key, attempt, until):
            return None
        pin = Pin(attempt, int(until))
        return None if pin.until != NEVER and pin.until <= self._clock.wall() else pin

    def _is_signed(self, signature: str, *said: str) -> bool:
        return hmac.compare_digest(signature.encode("utf-8", "replace"), self._signature(*said).encode())

    def _signature(self, *said: str) -> str:
        # Each with its length, so that no two lists of texts are signed alike.
        message = b"".join(b"%d:%b" % (len(part), part) for part in (text.encode() for text in said))
        return hmac.digest(self._secret, message, hashlib.sha256)[:_SIGNATURE_BYTES].hex()


def file_path(type: str, key: str, name: str) -> str:
    """Return the path of a file below a `FilesApplication`."""
    return f"/{quote(type, safe='')}/{quote(key, safe='')}/{quote(name)}"
