"""PostgreSQL as a backend: a store beside the tables of others."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.model.plane import Plane
from jobkit.ports.backend import Backend, Opening, Place
from jobkit.ports.diagnosis import Finding
from jobkit.ports.inspection import Inspection
from jobkit.ports.store import Store


async def _open_store(url: str, opening: Opening) -> tuple[Store, Inspection]:
    from jobkit.backends.postgres.store import open_store

    store = await open_store(url, opening.clock)
    return store, store


async def _diagnose(place: Place) -> list[Finding]:
    from jobkit.backends.postgres.diagnosis import diagnose

    return await diagnose(place.url, place.clock)


async def _migrate(url: str) -> Sequence[str]:
    from jobkit.backends.postgres.address import parse_address
    from jobkit.backends.postgres.migrations import migrate

    return await migrate(parse_address(url))


BACKEND = Backend(
    name="postgresql",
    schemes={Plane.STORE: ("postgresql", "postgres")},
    extra="postgres",
    open_store=_open_store,
    diagnose=_diagnose,
    migrate=_migrate,
)
