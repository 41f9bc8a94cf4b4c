"""A lease keeper for commands that repair: they take keys under leases, as workers do."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from jobkit.cli.session import CommandSession
from jobkit.leases import Keeper, LeaseTerms
from jobkit.model.ids import new_owner
from jobkit.ports.planes import Planes
from jobkit.telemetry import Telemetry


@asynccontextmanager
async def lease_keeper(planes: Planes, session: CommandSession) -> AsyncIterator[Keeper]:
    """Lend a keeper that renews what it holds for the block."""
    settings = session.settings
    keeper = Keeper(
        planes.coordinator,
        owner=new_owner(),
        terms=LeaseTerms.of(settings),
        clock=session.clock,
        rng=random.Random(),  # noqa: S311  (jitter, not secrets)
        telemetry=Telemetry(),
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.run)
        yield keeper
        tasks.cancel_scope.cancel()
