"""Resources while they are open: opened one after another, closed in reverse, by one task of their own.

The task is theirs, because what a resource enters (a task group, a cancel scope) has to be left in the task that
entered it. Where one ends by itself while it is in use, so does the block that uses it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
from pydantic_settings import BaseSettings

from jobkit.errors import ResourceFailed
from jobkit.model.safe_text import error_text
from jobkit.plugin.resource import Resource
from jobkit.telemetry import Telemetry

OpenResources = Mapping[Resource, object]

# How long all of them together may take to close.
CLOSE_SECONDS = 10.0


@asynccontextmanager
async def open_resources(
    wanted: Sequence[Resource],
    settings: Mapping[type[BaseSettings], BaseSettings],
    telemetry: Telemetry,
    given: OpenResources | None = None,
) -> AsyncIterator[OpenResources]:
    """Open what is `wanted`, in that order, and lend it for the block, with what is `given` already.

    Raises `ResourceFailed` where one does not open, or ends during the block; one that does not close is told of.
    """
    if not wanted:
        yield given or {}
        return
    holder = _Holder(wanted, settings, telemetry, given or {})
    try:
        async with anyio.create_task_group() as group:
            try:
                group.start_soon(holder.hold)
                await holder.all_open.wait()
                yield holder.values
            finally:
                await holder.end()
    except BaseExceptionGroup as failed:
        if len(failed.exceptions) == 1:
            # Only this task and the holder were in the group, and one of them failed: the error itself says it all.
            raise failed.exceptions[0] from failed.exceptions[0].__cause__
        raise


class _Holder:
    """The task that holds the resources."""

    def __init__(
        self,
        wanted: Sequence[Resource],
        settings: Mapping[type[BaseSettings], BaseSettings],
        telemetry: Telemetry,
        given: OpenResources,
    ) -> None:
        self.values: dict[Resource, object] = dict(given)
        self._wanted = wanted
        self._settings = settings
        self._telemetry = telemetry
        # Shielded, so that a worker which is stopped still closes what it opened.
        self._scope = anyio.CancelScope(shield=True)
        self.all_open = anyio.Event()
        self._wanted_no_more = anyio.Event()
        self._closed = anyio.Event()

    async def hold(self) -> None:
        """Open all, wait until they are wanted no more, close all."""
        try:
            with self._scope:
                async with AsyncExitStack() as stack:
                    for resource in self._wanted:
                        await self._open(resource, stack)
                    self.all_open.set()
                    await self._wanted_no_more.wait()
        finally:
            self._closed.set()

    async def end(self) -> None:
        """Have all closed, within a bounded time; what is still being opened is given up."""
        self._wanted_no_more.set()
        if not self.all_open.is_set():
            self._scope.cancel()
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await self._closed.wait()
        if not self._closed.is_set():
            late = TimeoutError(f"closing all took more than {CLOSE_SECONDS:g} s: given up")
            self._telemetry.resource_not_closed(", ".join(one.name for one in self._wanted), late)
            self._scope.cancel()

    async def _open(self, resource: Resource, stack: AsyncExitStack) -> None:
        arguments: dict[str, object] = {name: self._settings[model] for name, model in resource.settings.items()}
        arguments |= {name: self.values[needed] for name, needed in resource.needs.items()}
        manager = resource.opening(arguments)
        try:
            self.values[resource] = await manager.__aenter__()
        except Exception as error:
            raise ResourceFailed(f"resource {resource} did not open: {error_text(error)}") from error

        stack.push_async_callback(self._close, resource, manager)

    async def _close(self, resource: Resource, manager: AbstractAsyncContextManager[Any]) -> None:
        try:
            # No error is passed on to it, whatever the reason: what stands after its `yield` is to run.
            await manager.__aexit__(None, None, None)
        except Exception as error:
            if self.all_open.is_set() and not self._wanted_no_more.is_set():
                raise ResourceFailed(f"resource {resource} ended while it was in use: {error_text(error)}") from error
            self._telemetry.resource_not_closed(resource.name, error)
