"""What the plugin's own media processes say: lines of JSON, and now and then how far they are."""

from __future__ import annotations

import json
import time
from typing import Any

_BEAT_SECONDS = 0.5


def say(message: dict[str, Any]) -> None:
    """Write one line."""
    print(json.dumps(message), flush=True)


class Beat:
    """Says that work goes on, without saying so too often."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def at(self, reached: float) -> None:
        """Report how far the work is: seconds of a file, or tracks."""
        now = time.monotonic()
        if now - self._last >= _BEAT_SECONDS:
            self._last = now
            say({"beat": round(reached, 3)})
