"""Signatures by the Standard Webhooks specification, version 1: HMAC with SHA-256."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

_PREFIX = "whsec_"
# As the specification bounds them.
_SHORTEST_BYTES, _LONGEST_BYTES = 24, 64


def key_of(secret: str) -> bytes:
    """Return the key in a secret `whsec_...`. Raises `ValueError`, which does not tell the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(_PREFIX) or not _SHORTEST_BYTES <= len(key) <= _LONGEST_BYTES:
        raise ValueError(f"must be whsec_ and {_SHORTEST_BYTES} to {_LONGEST_BYTES} random bytes in base64")
    return key


def signed(id: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> Mapping[str, str]:
    """Return the headers that say who sent this, and when (Unix seconds), with a signature for each of the secrets."""
    content = b"%b.%d.%b" % (id.encode(), timestamp, body)
    digests = [hmac.new(key_of(secret), content, hashlib.sha256).digest() for secret in secrets]
    return {
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }
