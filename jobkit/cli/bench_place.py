"""Where `jobkit bench` runs: on the backends that are configured, on private servers, or on a database of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from jobkit.errors import ConfigurationError

if TYPE_CHECKING:
    from jobkit.settings import Settings

_URLS = ("broker_url", "coordinator_url", "store_url")


class Servers(StrEnum):
    """What keeps the store, where servers are started for the benchmark."""

    REDIS = "redis"
    POSTGRES = "postgres"


@contextmanager
def urls_for(settings: Settings, servers: Servers | None) -> Iterator[dict[str, str]]:
    """Lend the URLs to run on, by setting: none where those that are configured are to be used.

    Raises `ConfigurationError` where a program or package is missing that servers are made of.
    """
    if servers is None and settings.model_fields_set.intersection(_URLS):
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="jobkit-bench-", ignore_cleanup_errors=True) as name, ExitStack() as stack:
        directory = Path(name)
        if servers is None:
            urls = dict.fromkeys(_URLS, f"sqlite:///{directory / 'bench.db'}")
        else:
            urls = _start(servers, directory, stack)
        yield {**urls, "blobs_url": f"file://{directory / 'blobs'}"}


def _start(servers: Servers, directory: Path, stack: ExitStack) -> dict[str, str]:
    try:
        from jobkit.lab.servers.base import ServerMissing
        from jobkit.lab.servers.redis import DURABLE
        from jobkit.lab.servers.together import start_together
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "--servers needs more packages: pip install 'jobkit[rabbitmq,redis,postgres,lab]'"
        ) from error
    try:
        # Durable also where it only coordinates: both ceilings and both stores then meet the same Redis.
        urls = start_together(directory, stack, redis_settings=DURABLE, postgres=servers is Servers.POSTGRES)
    except ServerMissing as error:
        raise ConfigurationError(f"--servers: {error}") from error
    return {f"{plane}_url": url for plane, url in urls.items()}
