"""SQLite as a backend: three planes in one file, or in memory."""

from __future__ import annotations

from functools import partial

from jobkit.backends.sqlite.broker import SqliteBroker
from jobkit.backends.sqlite.connection import check_is_there, database_path, path_identity
from jobkit.backends.sqlite.coordinator import SqliteCoordinator
from jobkit.backends.sqlite.diagnosis import diagnose
from jobkit.backends.sqlite.engine import Engine, open_engine
from jobkit.backends.sqlite.store import SqliteStore
from jobkit.errors import ConfigurationError
from jobkit.model.plane import Plane
from jobkit.ports.backend import Backend, Opening, Place
from jobkit.ports.broker import Broker
from jobkit.ports.coordinator import Coordinator
from jobkit.ports.diagnosis import Finding
from jobkit.ports.inspection import Inspection
from jobkit.ports.store import Store

_SCHEMES = ("sqlite", "memory")


async def _engine(url: str, opening: Opening, plane: Plane) -> Engine:
    path = database_path(url)
    if not opening.create:
        check_is_there(path)
    return await opening.shared(path_identity(path), partial(open_engine, path, opening.clock, plane=plane))


async def _open_broker(url: str, opening: Opening) -> Broker:
    return SqliteBroker(await _engine(url, opening, Plane.BROKER))


async def _open_coordinator(url: str, opening: Opening) -> Coordinator:
    return SqliteCoordinator(await _engine(url, opening, Plane.COORDINATOR))


async def _open_store(url: str, opening: Opening) -> tuple[Store, Inspection]:
    store = SqliteStore(await _engine(url, opening, Plane.STORE))
    return store, store


async def _diagnose(place: Place) -> list[Finding]:
    return await diagnose(place.url, place.clock)


def _identity(url: str) -> str:
    try:
        return path_identity(database_path(url))
    except ConfigurationError:
        # It names no file; whoever opens it says so.
        return url


BACKEND = Backend(
    name="sqlite",
    schemes=dict.fromkeys((Plane.BROKER, Plane.COORDINATOR, Plane.STORE), _SCHEMES),
    open_broker=_open_broker,
    open_coordinator=_open_coordinator,
    open_store=_open_store,
    diagnose=_diagnose,
    identity=_identity,
    local=True,
)
