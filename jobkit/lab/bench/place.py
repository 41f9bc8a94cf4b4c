"""Where `jobkit bench` runs: on the backends that are configured, on private servers, or on a database of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
from pydantic import SecretStr

from jobkit.backends.registry import migrate_store
from jobkit.distribution import install_hint
from jobkit.errors import ConfigurationError
from jobkit.lab.servers.store_server import StoreServer
from jobkit.settings import Settings

_URLS = ("broker_url", "coordinator_url", "store_url")


@contextmanager
def place_for(settings: Settings, servers: StoreServer | None) -> Iterator[tuple[Settings, dict[str, str]]]:
    """Lend the settings to run with, and the variables that tell a worker of what differs from those given.

    Nothing differs where the backends that are configured are to be used.
    Raises `ConfigurationError` where a program or package is missing that servers are made of.
    """
    if servers is None and settings.model_fields_set.intersection(_URLS):
        yield settings, {}
        return
    with tempfile.TemporaryDirectory(prefix="jobkit-bench-", ignore_cleanup_errors=True) as name, ExitStack() as stack:
        directory = Path(name)
        if servers is None:
            urls = dict.fromkeys(_URLS, f"sqlite:///{directory / 'bench.db'}")
        else:
            urls = _start(servers, directory, stack)
        urls["blobs_url"] = f"file://{directory / 'blobs'}"
        moved = settings.model_copy(update={name: SecretStr(url) for name, url in urls.items()})
        anyio.run(migrate_store, moved)
        yield moved, {f"JOBKIT_{name.upper()}": url for name, url in urls.items()}


def _start(servers: StoreServer, directory: Path, stack: ExitStack) -> dict[str, str]:
    try:
        from jobkit.lab.servers.base import ServerMissing
        from jobkit.lab.servers.redis import DURABLE
        from jobkit.lab.servers.together import start_together
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"--servers needs more packages: {install_hint('rabbitmq', 'redis', 'postgres', 'lab')}"
        ) from error
    try:
        # Durable also where it only coordinates: both ceilings and both stores then meet the same Redis.
        started = start_together(directory, stack, redis_settings=DURABLE, postgres=servers is StoreServer.POSTGRES)
    except ServerMissing as error:
        raise ConfigurationError(f"--servers: {error}") from error
    return {f"{plane}_url": url for plane, url in started.urls.items()}
