"""`python -m tests.campaign.uploader JOURNAL`: submits the events of upload sessions, until it is killed.

It writes down what it was told to be accepted. The next one goes on behind that, and submits what it cannot know of
again, under the same ids, as a client is told to. With `finish` it ends once the sessions it has begun are whole.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from jobkit.client.connect import connect
from jobkit.errors import Unavailable
from jobkit.ports.store import NewJob
from tests.uploads.test_session import whole
from workers.uploads import UploadEvent

SESSIONS_AT_ONCE = 4
EVENTS = whole(4)
_AGAIN_SECONDS = 0.1


def sessions_in(journal: Path) -> int:
    """Return how many sessions were begun, as far as is known: all of them are whole once an uploader has finished."""
    return -(-_accepted(journal) // len(EVENTS)) * SESSIONS_AT_ONCE


def _accepted(journal: Path) -> int:
    # A line that a kill cut off does not count.
    return journal.read_text().count("\n") if journal.exists() else 0


async def _upload(journal: Path, *, finish: bool) -> None:
    async with connect() as client:

        def turn(number: int) -> list[NewJob]:
            batch, at = divmod(number, len(EVENTS))
            names = [f"session-{batch * SESSIONS_AT_ONCE + one}" for one in range(SESSIONS_AT_ONCE)]
            events = [(UploadEvent(session_id=name, event=EVENTS[at]), f"{name}:{at}") for name in names]
            return [client.job("upload", event, id=id) for event, id in events]

        number = _accepted(journal)
        # One turn at least: the next one may have been accepted from somebody who was killed before he wrote it down.
        while True:
            try:
                await client.submit_many(turn(number))
            except Unavailable:
                await anyio.sleep(_AGAIN_SECONDS)
                continue
            with journal.open("a") as lines:
                lines.write(f"{number}\n")
            number += 1
            if finish and number % len(EVENTS) == 0:
                return


if __name__ == "__main__":
    anyio.run(lambda: _upload(Path(sys.argv[1]), finish=sys.argv[2:] == ["finish"]))
