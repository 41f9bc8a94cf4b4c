"""What a backend refuses a worker that runs already: trouble for a person to mend, which the worker waits out.

A login that is refused, a certificate that has expired, a bucket that is gone: at the start that is a wrong setting,
and the worker ends. Later the settings were right once, so it is trouble like any other: `Unavailable`, no fault of
any job's, told once a minute as long as it lasts, and seen in the health checks.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar, cast

from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.plane import Plane
from jobkit.ports.planes import Planes
from jobkit.telemetry import Telemetry

T = TypeVar("T")

_TOLD_EVERY_SECONDS = 60.0
# Methods of the ports that return a context manager; what `consume` lends is asked things, too.
_LENDING = frozenset({"consume", "scratch"})


class Refusals:
    """Which planes refuse this worker now, as far as it knows."""

    def __init__(self, clock: Clock, telemetry: Telemetry) -> None:
        self._clock = clock
        self._telemetry = telemetry
        # When each plane that refuses this worker was last told of.
        self.told: dict[Plane, float] = {}

    @property
    def any(self) -> bool:
        """Whether a plane refuses this worker."""
        return bool(self.told)

    def around(self, planes: Planes) -> Planes:
        """Return the planes as a worker sees them that has started: their refusals are `Unavailable`."""
        return Planes(
            broker=self._guarded(Plane.BROKER, planes.broker),
            coordinator=self._guarded(Plane.COORDINATOR, planes.coordinator),
            store=self._guarded(Plane.STORE, planes.store),
            inspection=self._guarded(Plane.STORE, planes.inspection),
            blobs=self._guarded(Plane.BLOBS, planes.blobs),
            transactions=None if planes.transactions is None else self._guarded(Plane.STORE, planes.transactions),
        )

    def _guarded(self, plane: Plane, backend: T) -> T:
        return cast("T", _Guarded(self, plane, backend))

    def refusal(self, plane: Plane, error: ConfigurationError) -> Exception:
        """Return what a caller gets for a refusal."""
        now = self._clock.now()
        if now - self.told.get(plane, float("-inf")) >= _TOLD_EVERY_SECONDS:
            self.told[plane] = now
            self._telemetry.refused(plane, error)
        return Unavailable(plane, str(error))

    def accepted(self, plane: Plane) -> None:
        """Take note that a plane has done what it was asked."""
        if self.told.pop(plane, None) is not None:
            self._telemetry.accepted_again(plane)


class _Guarded:
    """A plane, or a consumer, whose refusals are noted; each method is made once, when it is first asked for."""

    def __init__(self, refusals: Refusals, plane: Plane, backend: object) -> None:
        self._refusals = refusals
        self._plane = plane
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._backend, name)
        if name in _LENDING:
            found = self._lending(found, asked=name == "consume")
        elif inspect.isasyncgenfunction(found):
            found = self._yielding(found)
        elif inspect.iscoroutinefunction(found):
            found = self._answering(found)
        else:
            # A property, or a guess that asks nobody.
            return found
        setattr(self, name, found)
        return found

    def _answering(self, method: Callable[..., Any]) -> Callable[..., Any]:
        # Every job goes through here several times.
        refusals, plane, told = self._refusals, self._plane, self._refusals.told

        async def call(*args: Any, **kwargs: Any) -> Any:
            try:
                answer = await method(*args, **kwargs)
            except ConfigurationError as error:
                raise refusals.refusal(plane, error) from error
            if told:
                refusals.accepted(plane)
            return answer

        return call

    def _yielding(self, method: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        refusals, plane = self._refusals, self._plane

        async def iterate(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            try:
                async for item in method(*args, **kwargs):
                    yield item
            except ConfigurationError as error:
                raise refusals.refusal(plane, error) from error
            refusals.accepted(plane)

        return iterate

    def _lending(
        self, method: Callable[..., AbstractAsyncContextManager[Any]], *, asked: bool
    ) -> Callable[..., AbstractAsyncContextManager[Any]]:
        refusals, plane = self._refusals, self._plane

        @asynccontextmanager
        async def lend(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            async with AsyncExitStack() as stack:
                try:
                    lent = await stack.enter_async_context(method(*args, **kwargs))
                except ConfigurationError as error:
                    raise refusals.refusal(plane, error) from error
                refusals.accepted(plane)
                yield _Guarded(refusals, plane, lent) if asked else lent

        return lend
