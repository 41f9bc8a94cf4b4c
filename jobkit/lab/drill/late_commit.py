"""A commit that comes late, in the worker that makes it: it looked, it still held its lease, and then time went by.

Nothing here keeps a worker from noticing that it lost its lease: it does, and gives the job up. What it had sent, or
was about to send, arrives all the same, as it does from a machine that stood still or over a network that did. How far
it has come is told between the processes by files in the folder that all workers share.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.model.plane import Plane
from jobkit.ports.store import Effects

_LOOK_SECONDS = 0.02
_TRIES = 20
_AGAIN_SECONDS = 0.2


class Lateness(StrEnum):
    """What makes a commit late."""

    WIRE = "wire"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class LateCommit:
    """One of them, by the key of its job; each file says by being there that something has happened."""

    folder: Path
    key: str

    @classmethod
    def of(cls, folder: Path, key: str | None) -> LateCommit | None:
        """Return that of a job's key, or None where its job is one like any other."""
        return cls(folder, key) if key is not None and key.startswith("late-") else None

    @classmethod
    def name(cls, lateness: Lateness, number: int) -> str:
        """Return a key for one."""
        return f"late-{lateness}-{number}"

    @property
    def lateness(self) -> Lateness:
        """What makes it late."""
        return Lateness(self.key.split("-")[1])

    @property
    def first(self) -> Path:
        """Says who began the job first."""
        return self.folder / f"{self.key}.first"

    @property
    def wanted(self) -> Path:
        """Asks the first one to end its work and commit."""
        return self.folder / f"{self.key}.wanted"

    @property
    def announced(self) -> Path:
        """Says that the first one is about to commit, and under what token."""
        return self.folder / f"{self.key}.announced"

    @property
    def released(self) -> Path:
        """Says that a worker that stopped just before its write goes on for good."""
        return self.folder / f"{self.key}.released"

    @property
    def answer(self) -> Path:
        """Says what the store answered, and whether the worker still listened."""
        return self.folder / f"{self.key}.answer"

    @property
    def over(self) -> Path:
        """Asks whoever took the job over to end it."""
        return self.folder / f"{self.key}.over"

    async def work(self, who: str, clock: Clock) -> None:
        """Be at work until the drill wants the job to end: on its first run, or with whoever took it over."""
        try:
            with self.first.open("x") as first:
                first.write(who)
        except FileExistsError:
            pass
        ends = self.wanted if self.first.read_text() == who else self.over
        while not ends.exists():
            await clock.sleep(_LOOK_SECONDS)


class LateStore:
    """A store as a worker sees it whose commit of such a job comes late; everything else is the inner store's."""

    def __init__(self, inner: Any, folder: Path) -> None:
        self._inner = inner
        self._folder = folder
        self._under_way: set[asyncio.Task[Any]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def commit(self, envelope: Envelope, fence: Fence, effects: Effects) -> Any:
        late = LateCommit.of(self._folder, envelope.key)
        if late is None or not _is_first(late, fence) or not _announce(late, fence):
            return await self._inner.commit(envelope, fence, effects)
        listens = True
        committing = asyncio.create_task(self._commit(late, envelope, fence, effects, lambda: listens))
        self._under_way.add(committing)
        committing.add_done_callback(self._under_way.discard)
        try:
            return await asyncio.shield(committing)
        except asyncio.CancelledError:
            listens = False
            raise

    async def _commit(self, late: LateCommit, envelope: Envelope, fence: Fence, effects: Effects, listens: Any) -> Any:
        if late.lateness is Lateness.PAUSE:
            await _stand_still(late)
        for _ in range(_TRIES):
            try:
                answer = await self._inner.commit(envelope, fence, effects)
            except Unavailable as error:
                # In doubt it is made again under the same fence, as a worker does.
                _tell(late, str(error), listens())
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                _tell(late, type(answer).__name__, listens())
                return answer
        raise Unavailable(Plane.STORE, f"no answer to a commit, {_TRIES} times")


def _is_first(late: LateCommit, fence: Fence) -> bool:
    """Tell whether it is the commit of whoever began the job first: whoever takes it over is late for nothing."""
    return late.first.exists() and late.first.read_text() == fence.nonce


def _announce(late: LateCommit, fence: Fence) -> bool:
    """Say that the commit is about to be made; return False where one was before."""
    if late.announced.exists():
        return False
    # Whole from the first moment that it is there.
    whole = late.announced.with_suffix(".part")
    whole.write_text(str(fence.token))
    whole.rename(late.announced)
    return True


async def _stand_still(late: LateCommit) -> None:
    """Stop this process here; let go on for a moment only, it does what else it was at, and stops again."""
    while True:
        os.kill(os.getpid(), signal.SIGSTOP)
        if late.released.exists():
            return
        await asyncio.sleep(_LOOK_SECONDS)


def _tell(late: LateCommit, answer: str, heard: bool) -> None:
    whole = late.answer.with_suffix(".written")
    whole.write_text(json.dumps({"answer": answer, "heard": heard}))
    whole.rename(late.answer)
