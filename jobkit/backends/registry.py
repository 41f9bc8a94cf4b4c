"""From settings to planes: the one place that knows which backends there are.

Planes whose URLs name the same database share one connection to it.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from jobkit.backends.local_files.blobs import LocalFileBlobs, local_root
from jobkit.backends.sqlite.broker import SqliteBroker
from jobkit.backends.sqlite.connection import MEMORY, database_path, path_identity
from jobkit.backends.sqlite.coordinator import SqliteCoordinator
from jobkit.backends.sqlite.engine import Engine, open_engine
from jobkit.backends.sqlite.store import SqliteStore
from jobkit.distribution import install_hint
from jobkit.errors import ConfigurationError
from jobkit.model.clock import Clock, SystemClock
from jobkit.ports.blobs import Blobs
from jobkit.ports.broker import Broker
from jobkit.ports.coordinator import Coordinator
from jobkit.ports.inspection import Inspection
from jobkit.ports.planes import Planes
from jobkit.ports.store import Store, TransactionalStore
from jobkit.settings import Settings

if TYPE_CHECKING:
    from jobkit.backends.rabbitmq.broker import RabbitBroker

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Opening:
    """What a factory may use: the process's clock, and what is open already. All of it ends with `stack`."""

    clock: Clock
    stack: AsyncExitStack
    engines: dict[str, Engine] = field(default_factory=dict)

    async def engine(self, url: str, plane: str) -> Engine:
        """Return the engine of the database that `url` names. Raises `ConfigurationError` or `Unavailable`."""
        path = database_path(url)
        same = path_identity(path)
        if same not in self.engines:
            self.engines[same] = await self.stack.enter_async_context(open_engine(path, self.clock, plane=plane))
        return self.engines[same]


@contextmanager
def _needing(what: str, extra: str) -> Iterator[None]:
    """Import a backend in the block. Raises `ConfigurationError` naming the extra where its driver is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{what}: {install_hint(extra)}") from error


async def _sqlite_broker(url: str, opening: Opening) -> Broker:
    return SqliteBroker(await opening.engine(url, "broker"))


def rabbitmq_broker(url: str, clock: Clock) -> RabbitBroker:
    """Return the broker on a RabbitMQ server; it connects once it has to. Raises `ConfigurationError`."""
    with _needing("RabbitMQ needs more packages", "rabbitmq"):
        from jobkit.backends.rabbitmq.broker import RabbitBroker
    return RabbitBroker(url, clock)


async def _rabbitmq_broker(url: str, opening: Opening) -> Broker:
    return rabbitmq_broker(url, opening.clock)


async def _sqlite_coordinator(url: str, opening: Opening) -> Coordinator:
    return SqliteCoordinator(await opening.engine(url, "coordinator"))


async def _sqlite_store(url: str, opening: Opening) -> tuple[Store, Inspection]:
    store = SqliteStore(await opening.engine(url, "store"))
    return store, store


async def _postgres_store(url: str, opening: Opening) -> tuple[Store, Inspection]:
    with _needing("PostgreSQL needs one more package", "postgres"):
        from jobkit.backends.postgres.store import open_store
    store = await open_store(url, opening.clock)
    return store, store


async def _redis_coordinator(url: str, opening: Opening) -> Coordinator:
    with _needing("Redis needs more packages", "redis"):
        from jobkit.backends.redis.coordinator import open_coordinator
    return await open_coordinator(url, opening.clock)


async def _redis_store(url: str, opening: Opening) -> tuple[Store, Inspection]:
    with _needing("Redis needs more packages", "redis"):
        from jobkit.backends.redis.store import open_store
    store = await open_store(url, opening.clock)
    return store, store


async def _directory_blobs(url: str, _opening: Opening) -> Blobs:
    blobs = LocalFileBlobs(local_root(url))
    await blobs.start()
    return blobs


async def _s3_blobs(url: str, _opening: Opening) -> Blobs:
    with _needing("S3 needs more packages", "s3"):
        from jobkit.backends.s3.blobs import open_blobs
    return await open_blobs(url)


Factory = Callable[[str, Opening], Awaitable[T]]

BROKERS: Mapping[str, Factory[Broker]] = {
    "sqlite": _sqlite_broker,
    "memory": _sqlite_broker,
    "amqp": _rabbitmq_broker,
    "amqps": _rabbitmq_broker,
}
COORDINATORS: Mapping[str, Factory[Coordinator]] = {
    "sqlite": _sqlite_coordinator,
    "memory": _sqlite_coordinator,
    "redis": _redis_coordinator,
    "rediss": _redis_coordinator,
    "redis+sentinel": _redis_coordinator,
    "rediss+sentinel": _redis_coordinator,
}
STORES: Mapping[str, Factory[tuple[Store, Inspection]]] = {
    "sqlite": _sqlite_store,
    "memory": _sqlite_store,
    "postgresql": _postgres_store,
    "postgres": _postgres_store,
    "redis": _redis_store,
    "rediss": _redis_store,
    "redis+sentinel": _redis_store,
    "rediss+sentinel": _redis_store,
}
BLOBS: Mapping[str, Factory[Blobs]] = {"file": _directory_blobs, "s3": _s3_blobs}


@asynccontextmanager
async def open_planes(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Planes]:
    """Open the backends that the settings name, until the block ends.

    Raises `ConfigurationError` naming the variable that is wrong, or `Unavailable`.
    """
    async with AsyncExitStack() as stack:
        opening = Opening(clock or SystemClock(), stack)
        blobs = await open_blobs(settings, opening)
        store, inspection = await open_store(settings, opening)
        coordinator = await open_coordinator(settings, opening)
        broker = await open_broker(settings, opening)
        transactions = store if isinstance(store, TransactionalStore) else None
        yield Planes(broker, coordinator, store, inspection, blobs, transactions)


async def open_blobs(settings: Settings, opening: Opening) -> Blobs:
    """Open one plane until `opening` ends; errors as for `open_planes`."""
    blobs = await _open("JOBKIT_BLOBS_URL", settings.blobs_url.get_secret_value(), BLOBS, opening)
    opening.stack.push_async_callback(blobs.aclose)
    return blobs


async def open_store(settings: Settings, opening: Opening) -> tuple[Store, Inspection]:
    """Open one plane until `opening` ends; errors as for `open_planes`."""
    store, inspection = await _open("JOBKIT_STORE_URL", settings.store_url.get_secret_value(), STORES, opening)
    opening.stack.push_async_callback(store.aclose)
    return store, inspection


async def open_coordinator(settings: Settings, opening: Opening) -> Coordinator:
    """Open one plane until `opening` ends; errors as for `open_planes`."""
    url = settings.coordinator_url.get_secret_value()
    coordinator = await _open("JOBKIT_COORDINATOR_URL", url, COORDINATORS, opening)
    opening.stack.push_async_callback(coordinator.aclose)
    return coordinator


async def open_broker(settings: Settings, opening: Opening) -> Broker:
    """Open one plane until `opening` ends; errors as for `open_planes`."""
    broker = await _open("JOBKIT_BROKER_URL", settings.broker_url.get_secret_value(), BROKERS, opening)
    opening.stack.push_async_callback(broker.aclose)
    return broker


@asynccontextmanager
async def memory_planes(clock: Clock | None = None) -> AsyncIterator[Planes]:
    """Open planes that live in memory, with blobs in a temporary directory, until the block ends.

    They are of one process, and use no threads but for files.
    """
    with tempfile.TemporaryDirectory(prefix="jobkit-") as directory:
        async with open_engine(MEMORY, clock or SystemClock()) as engine:
            store = SqliteStore(engine)
            broker = SqliteBroker(engine)
            blobs = LocalFileBlobs(Path(directory) / "blobs")
            await blobs.start()
            try:
                yield Planes(broker, SqliteCoordinator(engine), store, store, blobs)
            finally:
                await broker.aclose()
                await blobs.aclose()


async def _open(variable: str, url: str, factories: Mapping[str, Factory[T]], opening: Opening) -> T:
    scheme = url.partition(":")[0]
    factory = factories.get(scheme)
    if factory is None:
        supported = ", ".join(f"{name}:" for name in factories)
        raise ConfigurationError(f"{variable}: no backend for {scheme!r}; supported are {supported}")
    try:
        return await factory(url, opening)
    except ConfigurationError as error:
        raise ConfigurationError(f"{variable}: {error}") from error
