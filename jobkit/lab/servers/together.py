"""The servers of a whole set-up, for drills and benchmarks: RabbitMQ, Redis and, where it is wanted, PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from jobkit.lab.servers.postgres import PostgresServer
from jobkit.lab.servers.rabbitmq import RabbitServer
from jobkit.lab.servers.redis import RedisServer


def start_together(
    directory: Path, stack: ExitStack, *, redis_settings: Mapping[str, str], postgres: bool
) -> dict[str, str]:
    """Start the servers, with their files below `directory`, until `stack` ends; return the URLs by plane.

    Without PostgreSQL the store is on the Redis of the leases. Raises `ServerMissing` where one is not installed.
    """
    # PostgreSQL runs as another user, who has to reach its folder.
    directory.chmod(0o755)
    rabbit = RabbitServer(_folder(directory, "rabbitmq"))
    stack.callback(rabbit.end)
    rabbit.start()
    redis = RedisServer(_folder(directory, "redis"), redis_settings)
    stack.callback(redis.process.kill)
    redis.process.start()
    urls = {"broker": rabbit.url(), "coordinator": redis.url(), "store": redis.url()}
    if postgres:
        server = PostgresServer(_folder(directory, "postgres"))
        stack.callback(server.kill)
        server.start()
        urls["store"] = server.url()
    return urls


def _folder(directory: Path, name: str) -> Path:
    folder = directory / name
    folder.mkdir()
    return folder
