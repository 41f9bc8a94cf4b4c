"""Identities: jobs, processes and claims."""

from __future__ import annotations

import getpass
import os
import random
import secrets
import socket
import time
import uuid


def new_job_id(*, unix_ms: int | None = None, rng: random.Random | None = None) -> str:
    """Return a UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then 74 random bits.

    Ids made later sort later, to the millisecond; nothing depends on that but the eye.
    """
    milliseconds = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
    noise = rng.getrandbits(74) if rng is not None else secrets.randbits(74)
    value = (milliseconds & (1 << 48) - 1) << 80
    value |= 0x7 << 76 | (noise >> 62) << 64 | 0b10 << 62 | noise & (1 << 62) - 1
    return str(uuid.UUID(int=value))


def new_owner() -> str:
    """Return a name for this process start: `host:pid:random`.

    Host and pid are for people; the random part makes a restarted pod or a reused pid somebody else.
    """
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def user_at_host() -> str:
    """Return who runs this process, and where, for people to read."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container's user need not have a name.
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def new_nonce(rng: random.Random | None = None) -> str:
    """Return 64 random bits in hex: the name of one claim, so that asking twice grants once."""
    return f"{rng.getrandbits(64):016x}" if rng is not None else secrets.token_hex(8)
