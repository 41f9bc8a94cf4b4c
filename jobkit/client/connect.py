"""The way in for programs: a client on the backends that the settings name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jobkit.backends.registry import open_planes
from jobkit.client import Client
from jobkit.plugin.loading import load_plugins
from jobkit.settings import Settings, load_settings


@asynccontextmanager
async def connect(settings: Settings | None = None) -> AsyncIterator[Client]:
    """Open the backends, from the environment unless `settings` are given, and lend a client for the block.

    Raises `ConfigurationError` naming the setting or plugin that is wrong, or `Unavailable`.
    """
    settings = settings or load_settings()
    registry = load_plugins(
        settings.plugins, middleware=settings.middleware, max_payload_bytes=settings.max_payload_bytes
    )
    async with open_planes(settings) as planes:
        yield Client(planes, registry, settings)
