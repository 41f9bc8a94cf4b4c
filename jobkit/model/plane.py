"""The four planes that a deployment is made of."""

from __future__ import annotations

from enum import StrEnum


class Plane(StrEnum):
    """One of the things a backend can be: what moves jobs, what leases, what remembers, and what keeps large files."""

    BROKER = "broker"
    COORDINATOR = "coordinator"
    STORE = "store"
    BLOBS = "blobs"

    @property
    def setting(self) -> str:
        """The field of `Settings` that names the plane's backend."""
        return f"{self.value}_url"

    @property
    def variable(self) -> str:
        """The environment variable that names the plane's backend."""
        return f"JOBKIT_{self.value.upper()}_URL"
