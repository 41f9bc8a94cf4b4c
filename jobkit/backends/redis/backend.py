"""Redis as a backend: leases, and a store."""

from __future__ import annotations

from jobkit.model.plane import Plane
from jobkit.ports.backend import Backend, Opening, Place
from jobkit.ports.coordinator import Coordinator
from jobkit.ports.diagnosis import Finding
from jobkit.ports.inspection import Inspection
from jobkit.ports.store import Store

_SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel")


async def _open_coordinator(url: str, opening: Opening) -> Coordinator:
    from jobkit.backends.redis.coordinator import open_coordinator

    return await open_coordinator(url, opening.clock)


async def _open_store(url: str, opening: Opening) -> tuple[Store, Inspection]:
    from jobkit.backends.redis.store import open_store

    store = await open_store(url, opening.clock)
    return store, store


async def _diagnose(place: Place) -> list[Finding]:
    from jobkit.backends.redis.diagnosis import diagnose

    # Some of it is so for each of the planes.
    return list(dict.fromkeys([finding for plane in place.planes for finding in await diagnose(place.url, plane)]))


BACKEND = Backend(
    name="redis",
    schemes={Plane.COORDINATOR: _SCHEMES, Plane.STORE: _SCHEMES},
    extra="redis",
    open_coordinator=_open_coordinator,
    open_store=_open_store,
    diagnose=_diagnose,
)
