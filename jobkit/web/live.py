"""Live updates: what changes of a page, as server-sent events, and a word about what was just done."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable

from jobkit.model.clock import Clock

EVERY_SECONDS = 2.0
# Something is sent at least so often, so that a reader who went away is noticed.
_ALIVE_SECONDS = 20.0
# A stream ends after so long, and the browser asks for it anew: whoever may look no longer is found out then.
_STREAM_SECONDS = 300.0


async def fragments(look: Callable[[], Awaitable[str]], clock: Clock) -> AsyncIterator[bytes]:
    """Yield what `look` returns as events, whenever it is not what it was, until the reader goes away."""
    shown = ""
    began = silent_since = clock.now()
    yield b"retry: 2000\n\n"
    while clock.now() - began < _STREAM_SECONDS:
        html = await look()
        mark = hashlib.sha256(html.encode()).hexdigest()
        if mark != shown:
            shown, silent_since = mark, clock.now()
            yield _event(html)
        elif clock.now() - silent_since > _ALIVE_SECONDS:
            silent_since = clock.now()
            yield b": still here\n\n"
        await clock.sleep(EVERY_SECONDS)


def _event(html: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in html.splitlines())
    return f"event: page\n{lines}\n".encode()


def flash(said: str) -> str:
    """Return a sentence as a cookie can hold it."""
    return base64.urlsafe_b64encode(said[:500].encode()).decode()


def flash_of(cookie: str) -> str:
    """Return the sentence in a cookie; "" where it holds none."""
    try:
        return base64.urlsafe_b64decode(cookie).decode()
    except (binascii.Error, ValueError):
        # Whatever it is, it is not ours.
        return ""
