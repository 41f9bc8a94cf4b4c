"""What the folder of a backend declares of itself, as one value `BACKEND` in its `backend.py`.

Importing that module needs no driver: what it declares imports the driver when it is called, and whoever calls turns a
driver that is not installed into a `ConfigurationError` with the name of the extra.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar, cast

from jobkit.model.clock import Clock
from jobkit.model.plane import Plane
from jobkit.ports.blobs import Blobs
from jobkit.ports.broker import Broker
from jobkit.ports.coordinator import Coordinator
from jobkit.ports.diagnosis import Finding
from jobkit.ports.inspection import Inspection
from jobkit.ports.store import Store
from jobkit.ports.topology import TopologyAdmin
from jobkit.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Opening:
    """What opening a plane may use: the process's clock, and what is open already. All of it ends with `stack`.

    Where it is not to `create` anything, a backend that makes its tables when it is first used raises
    `ConfigurationError` instead: who only looks leaves no empty database behind.
    """

    clock: Clock
    stack: AsyncExitStack
    create: bool = True
    _shared: dict[str, object] = field(default_factory=dict)

    async def shared(self, place: str, connect: Callable[[], AbstractAsyncContextManager[T]]) -> T:
        """Return the one connection of this process to `place`, which `connect` makes when it is first asked for."""
        if place not in self._shared:
            self._shared[place] = await self.stack.enter_async_context(connect())
        return cast("T", self._shared[place])


@dataclass(frozen=True, slots=True)
class Place:
    """A place that the settings name, with the planes that are kept there."""

    url: str
    planes: tuple[Plane, ...]
    settings: Settings
    clock: Clock


Open: TypeAlias = Callable[[str, Opening], Awaitable[T]]


def _itself(url: str) -> str:
    return url


@dataclass(frozen=True, slots=True)
class Backend:
    """One backend: which planes it can be, under which URL schemes, and what can be done with it.

    `extra` holds its driver; "" where none is needed. A factory is there for each plane in `schemes`; it raises
    `ConfigurationError` or `Unavailable`, and so does everything else. `migrate` returns the names of the steps it
    applied; None: there is nothing to migrate. `identity` returns what two URLs of the same place have in common.
    `local`: only processes of one machine can share it.
    """

    name: str
    schemes: Mapping[Plane, Sequence[str]]
    diagnose: Callable[[Place], Awaitable[list[Finding]]]
    extra: str = ""
    open_broker: Open[Broker] | None = None
    open_coordinator: Open[Coordinator] | None = None
    open_store: Open[tuple[Store, Inspection]] | None = None
    open_blobs: Open[Blobs] | None = None
    migrate: Callable[[str], Awaitable[Sequence[str]]] | None = None
    topology: Callable[[str, Clock], TopologyAdmin] | None = None
    identity: Callable[[str], str] = _itself
    local: bool = False
