"""The servers of a whole set-up, for drills and benchmarks: RabbitMQ, Redis and, where it is wanted, PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from jobkit.lab.servers.postgres import PostgresServer
from jobkit.lab.servers.rabbitmq import RabbitServer
from jobkit.lab.servers.redis import RedisServer


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers; without PostgreSQL the store is on the Redis of the leases."""

    broker: RabbitServer
    coordinator: RedisServer
    store: PostgresServer | None

    @property
    def urls(self) -> dict[str, str]:
        """The URLs by plane."""
        store = self.coordinator if self.store is None else self.store
        return {"broker": self.broker.url(), "coordinator": self.coordinator.url(), "store": store.url()}


def start_together(directory: Path, stack: ExitStack, *, redis_settings: Mapping[str, str], postgres: bool) -> Servers:
    """Start the servers, with their files below `directory`, until `stack` ends.

    Raises `ServerMissing` where one is not installed.
    """
    # PostgreSQL runs as another user, who has to reach its folder.
    directory.chmod(0o755)
    rabbit = RabbitServer(_folder(directory, "rabbitmq"))
    stack.callback(rabbit.end)
    rabbit.start()
    redis = RedisServer(_folder(directory, "redis"), redis_settings)
    stack.callback(redis.process.kill)
    redis.process.start()
    if not postgres:
        return Servers(rabbit, redis, None)
    server = PostgresServer(_folder(directory, "postgres"))
    stack.callback(server.kill)
    server.start()
    return Servers(rabbit, redis, server)


def _folder(directory: Path, name: str) -> Path:
    folder = directory / name
    folder.mkdir()
    return folder
