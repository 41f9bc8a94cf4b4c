"""From settings to planes: the one place that knows which backends there are.

Planes whose URLs name the same database share one connection to it.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import SecretStr

from jobkit.backends.local_files import backend as local_files
from jobkit.backends.postgres import backend as postgres
from jobkit.backends.rabbitmq import backend as rabbitmq
from jobkit.backends.redis import backend as redis
from jobkit.backends.s3 import backend as s3
from jobkit.backends.sqlite import backend as sqlite
from jobkit.distribution import install_hint
from jobkit.errors import ConfigurationError, NotThereYet
from jobkit.model.clock import Clock, SystemClock
from jobkit.model.plane import Plane
from jobkit.ports.backend import Backend, Open, Opening, Place
from jobkit.ports.blobs import Blobs
from jobkit.ports.broker import Broker
from jobkit.ports.coordinator import Coordinator
from jobkit.ports.diagnosis import Finding
from jobkit.ports.inspection import Inspection
from jobkit.ports.planes import Planes, StorePlane
from jobkit.ports.store import Store
from jobkit.ports.topology import TopologyAdmin
from jobkit.ports.transactions import TransactionalStore
from jobkit.settings import Settings

T = TypeVar("T")

BACKENDS: Sequence[Backend] = (
    sqlite.BACKEND,
    postgres.BACKEND,
    redis.BACKEND,
    rabbitmq.BACKEND,
    local_files.BACKEND,
    s3.BACKEND,
)


def url_of(settings: Settings, plane: Plane) -> str:
    """Return the URL that the settings name for a plane; it may hold a secret."""
    url: SecretStr = getattr(settings, plane.setting)
    return url.get_secret_value()


def schemes_of(plane: Plane) -> list[str]:
    """Return the URL schemes under which a plane can be opened."""
    return [scheme for backend in BACKENDS for scheme in backend.schemes.get(plane, ())]


def backend_of(settings: Settings, plane: Plane) -> Backend:
    """Return the backend that the settings name for a plane. Raises `ConfigurationError` where there is none such."""
    scheme = url_of(settings, plane).partition(":")[0]
    for backend in BACKENDS:
        if scheme in backend.schemes.get(plane, ()):
            return backend
    supported = ", ".join(f"{name}:" for name in schemes_of(plane))
    raise ConfigurationError(f"{plane.variable}: no backend for {scheme!r}; supported are {supported}")


# What a job goes through on its way, which has to be within reach of every worker. Files may be on a shared disk.
_SHARED_PLANES = (Plane.BROKER, Plane.COORDINATOR, Plane.STORE)


def local_beside_network(settings: Settings) -> tuple[list[Plane], str]:
    """Return the planes that only this machine can reach, where others are servers; and one of those, in words.

    Raises `ConfigurationError` where a plane has no backend.
    """
    backends = {plane: backend_of(settings, plane) for plane in _SHARED_PLANES}
    local = [plane for plane, backend in backends.items() if backend.local]
    remote = [f"a {backend.name} {plane}" for plane, backend in backends.items() if not backend.local]
    return (local, remote[0]) if remote else ([], "")


def unset_planes(settings: Settings, planes: Sequence[Plane] = _SHARED_PLANES) -> list[str]:
    """Return, for each of `planes` that nobody has named and whose default does not fit the others, what is wrong."""
    local, beside = local_beside_network(settings)
    return [
        f"{plane.variable} is not set, so its default, {url_of(settings, plane)}, would keep the {plane} on this "
        f"machine alone, beside {beside} that workers on other machines share: set {plane.variable}"
        for plane in local
        if plane in planes and plane.setting not in settings.model_fields_set
    ]


@asynccontextmanager
async def open_planes(settings: Settings, clock: Clock | None = None, *, create: bool = True) -> AsyncIterator[Planes]:
    """Open the backends that the settings name, until the block ends; `create` is what `Opening` has it be.

    Raises `ConfigurationError` naming the variable that is wrong or was forgotten, or `Unavailable`.
    """
    if problems := unset_planes(settings):
        raise ConfigurationError("\n".join(problems))
    async with AsyncExitStack() as stack:
        opening = Opening(clock or SystemClock(), stack, create)
        blobs = await open_blobs(settings, opening)
        store, inspection = await open_store(settings, opening)
        coordinator = await open_coordinator(settings, opening)
        broker = await open_broker(settings, opening)
        transactions = store if isinstance(store, TransactionalStore) else None
        yield Planes(broker, coordinator, store, inspection, blobs, transactions)


@asynccontextmanager
async def open_store_plane(settings: Settings, clock: Clock | None = None) -> AsyncIterator[StorePlane]:
    """Open the store that the settings name, and no other plane, until the block ends. Nothing is made.

    Raises `ConfigurationError` naming the variable that is wrong, or the store's where that was forgotten beside
    servers; or `Unavailable`.
    """
    if problems := unset_planes(settings, (Plane.STORE,)):
        raise ConfigurationError("\n".join(problems))
    async with AsyncExitStack() as stack:
        store, inspection = await open_store(settings, Opening(clock or SystemClock(), stack, create=False))
        yield StorePlane(store, inspection)


@asynccontextmanager
async def memory_planes(clock: Clock | None = None) -> AsyncIterator[Planes]:
    """Open planes that live in memory, with blobs in a temporary directory, until the block ends.

    They are of one process, and use no threads but for files.
    """
    with tempfile.TemporaryDirectory(prefix="jobkit-") as directory:
        memory, blobs = SecretStr("memory:"), SecretStr((Path(directory) / "blobs").as_uri())
        settings = Settings.model_construct(
            broker_url=memory, coordinator_url=memory, store_url=memory, blobs_url=blobs
        )
        async with open_planes(settings, clock) as planes:
            yield planes


async def open_blobs(settings: Settings, opening: Opening) -> Blobs:
    """Open one plane until `opening` ends; errors as for `open_planes`."""
    backend = backend_of(settings, Plane.BLOBS)
    blobs = await _open(backend, backend.open_blobs, settings, Plane.BLOBS, opening)
    opening.stack.push_async_callback(blobs.aclose)
    return blobs


async def open_store(settings: Settings, opening: Opening) -> tuple[Store, Inspection]:
    """Open one plane until `opening` ends; errors as for `open_planes`."""
    backend = backend_of(settings, Plane.STORE)
    store, inspection = await _open(backend, backend.open_store, settings, Plane.STORE, opening)
    opening.stack.push_async_callback(store.aclose)
    return store, inspection


async def open_coordinator(settings: Settings, opening: Opening) -> Coordinator:
    """Open one plane until `opening` ends; errors as for `open_planes`."""
    backend = backend_of(settings, Plane.COORDINATOR)
    coordinator = await _open(backend, backend.open_coordinator, settings, Plane.COORDINATOR, opening)
    opening.stack.push_async_callback(coordinator.aclose)
    return coordinator


async def open_broker(settings: Settings, opening: Opening) -> Broker:
    """Open one plane until `opening` ends; errors as for `open_planes`."""
    backend = backend_of(settings, Plane.BROKER)
    broker = await _open(backend, backend.open_broker, settings, Plane.BROKER, opening)
    opening.stack.push_async_callback(broker.aclose)
    return broker


def places_of(settings: Settings, clock: Clock) -> list[tuple[Backend, Place]]:
    """Return the places that the settings name, each once, with its planes. URLs that no backend is for are left out;
    opening them says so.
    """
    together: dict[str, tuple[Backend, str, tuple[Plane, ...]]] = {}
    for plane in Plane:
        try:
            backend = backend_of(settings, plane)
        except ConfigurationError:
            continue
        url = url_of(settings, plane)
        same = backend.identity(url)
        _, first, planes = together.get(same, (backend, url, ()))
        together[same] = backend, first, (*planes, plane)
    return [(backend, Place(url, planes, settings, clock)) for backend, url, planes in together.values()]


async def diagnose_place(backend: Backend, place: Place) -> list[Finding]:
    """Return what there is to say of a place. Raises `ConfigurationError` or `Unavailable`."""
    with _needing(backend):
        return await backend.diagnose(place)


async def migrate_store(settings: Settings) -> Sequence[str] | None:
    """Bring the store's tables up to date and return the names of the steps that were missing.

    None: this kind of store makes its tables when it is first used. Raises `ConfigurationError` or `Unavailable`.
    """
    backend = backend_of(settings, Plane.STORE)
    if backend.migrate is None:
        return None
    with _naming(Plane.STORE), _needing(backend):
        return await backend.migrate(url_of(settings, Plane.STORE))


def topology_of(settings: Settings, clock: Clock) -> TopologyAdmin | None:
    """Return what looks at the broker's topology; None where it has none. Raises `ConfigurationError`."""
    backend = backend_of(settings, Plane.BROKER)
    if backend.topology is None:
        return None
    with _naming(Plane.BROKER), _needing(backend):
        return backend.topology(url_of(settings, Plane.BROKER), clock)


async def _open(backend: Backend, factory: Open[T] | None, settings: Settings, plane: Plane, opening: Opening) -> T:
    if factory is None:
        raise TypeError(f"{backend.name} declares schemes for the {plane}, and nothing that opens it")
    with _naming(plane), _needing(backend):
        return await factory(url_of(settings, plane), opening)


@contextmanager
def _needing(backend: Backend) -> Iterator[None]:
    """Raise `ConfigurationError` naming the extra where the block misses the backend's driver."""
    try:
        yield
    except ModuleNotFoundError as error:
        if not backend.extra:
            raise
        raise ConfigurationError(f"{backend.name} needs more packages: {install_hint(backend.extra)}") from error


@contextmanager
def _naming(plane: Plane) -> Iterator[None]:
    """Name the variable in whatever is wrong with what it says."""
    try:
        yield
    except ConfigurationError as error:
        named = NotThereYet if isinstance(error, NotThereYet) else ConfigurationError
        raise named(f"{plane.variable}: {error}") from error
