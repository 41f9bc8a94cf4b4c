"""What a drill can lose for good in place of the incident's own troubles, and how it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Protocol

from jobkit.lab.drill.environment import Site
from jobkit.lab.servers.together import Servers
from jobkit.model.clock import Clock
from jobkit.model.side_by_side import side_by_side

# Which region is home of the servers, and goes with them.
LOST_REGION = "near"


class Loss(StrEnum):
    """What is lost with all its data, for good."""

    BROKER = "broker"
    COORDINATOR = "coordinator"
    REGION = "region"

    def told(self, *, embedded: bool) -> str:
        """Return what happens, in words."""
        if embedded:
            return "the near region's workers are killed, all at once"
        return _TOLD[self]


_TOLD = {
    Loss.BROKER: "RabbitMQ is lost with its disk, and an empty one takes its name",
    Loss.COORDINATOR: "Redis is lost with all its data, and an empty one takes its name",
    Loss.REGION: (
        "the near region is lost with its workers, and RabbitMQ and Redis with all their data; PostgreSQL comes back "
        "with what it had acknowledged, as a synchronous standby does, and empty servers take the others' names"
    ),
}


class _Life(Protocol):
    def kill(self) -> None: ...


async def lose(loss: Loss, site: Site, clock: Clock, seconds: float) -> None:
    """Lose it; what takes its place is started after so many seconds, and answers when this returns."""
    if loss is Loss.REGION:
        for worker in site.of(LOST_REGION):
            worker.lose()
    servers = site.servers
    if servers is None:
        await clock.sleep(seconds)
        return
    gone, back = _servers(loss, servers)
    await side_by_side(partial(asyncio.to_thread, server.kill) for server in gone)
    await clock.sleep(seconds)
    await side_by_side(partial(asyncio.to_thread, start) for start in back)


def _servers(loss: Loss, servers: Servers) -> tuple[list[_Life], list[Callable[[], None]]]:
    """Return what is killed, and what then starts those that take its place."""
    broker: tuple[_Life, Callable[[], None]] = servers.broker, servers.broker.start_empty
    coordinator: tuple[_Life, Callable[[], None]] = servers.coordinator.process, servers.coordinator.start_empty
    if loss is Loss.BROKER:
        lives = [broker]
    elif loss is Loss.COORDINATOR:
        lives = [coordinator]
    else:
        lives = [broker, coordinator]
        if servers.store is not None:
            lives.append((servers.store, servers.store.start))
    return [life for life, _ in lives], [start for _, start in lives]
