"""Which server keeps the store, where servers are started for a benchmark."""

from __future__ import annotations

from enum import StrEnum


class StoreServer(StrEnum):
    """A server that can be started to keep the store."""

    REDIS = "redis"
    POSTGRES = "postgres"
