"""Hooks while a worker runs: they are called aside, so that no job and no lease waits for them.

What is promised: each outcome that this worker has written is told at most once, in no order. It is told to nobody
where the worker ends before, where the store's answer was lost, or where more outcomes wait than are remembered.
"""

from __future__ import annotations

import asyncio

import anyio

from jobkit.plugin.hooks import Hook, JobEvent
from jobkit.telemetry import Telemetry

# So many outcomes wait at most; of more, the latest are not told.
_MOST_WAITING = 10_000
# How many hooks run side by side, and how long each may take.
_AT_ONCE = 8
_HOOK_SECONDS = 30.0
# How long a worker that stops waits for those that run and wait.
_LAST_SECONDS = 5.0


class OutcomeHooks:
    """Calls hooks with what became of jobs."""

    def __init__(self, hooks: tuple[Hook, ...], telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._hooks: dict[type, list[Hook]] = {}
        for hook in hooks:
            for kind in hook.events:
                self._hooks.setdefault(kind, []).append(hook)
        self._waiting: asyncio.Queue[tuple[Hook, JobEvent]] = asyncio.Queue(_MOST_WAITING)

    def wants(self, kind: type) -> bool:
        """Return whether any hook hears of such events; to make one for nobody would cost each job something."""
        return kind in self._hooks

    def tell(self, event: JobEvent) -> None:
        """Have the hooks called with an event, soon."""
        for hook in self._hooks.get(type(event), ()):
            try:
                self._waiting.put_nowait((hook, event))
            except asyncio.QueueFull as error:
                self._telemetry.hook_failed(hook.name, event.job.id, error)

    async def run(self) -> None:
        """Call hooks until cancelled; return at once where there are none."""
        if self._hooks:
            async with anyio.create_task_group() as group:
                for _ in range(_AT_ONCE):
                    group.start_soon(self._call_one_after_another)

    async def finish(self) -> None:
        """Wait until all have been called, also where this is cancelled, within a bounded time."""
        if self._hooks:
            with anyio.move_on_after(_LAST_SECONDS, shield=True):
                await self._waiting.join()

    async def _call_one_after_another(self) -> None:
        while True:
            hook, event = await self._waiting.get()
            try:
                with anyio.fail_after(_HOOK_SECONDS):
                    await hook.function(event)
            except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:  # noqa: BLE001  (what a hook raises stops nobody, and is told)
                self._telemetry.hook_failed(hook.name, event.job.id, error)
            finally:
                self._waiting.task_done()
