"""What the demo runs on, as `jobkit config show` tells it: the demo itself knows no backend."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PLANES = ("broker", "coordinator", "store", "blobs")


@dataclass(frozen=True, slots=True)
class Backends:
    """The settings that the demo counts on. URLs are as people may see them; `urls` is by plane."""

    urls: Mapping[str, str]
    partitions: int
    drain_seconds: float

    @property
    def blobs_directory(self) -> Path | None:
        """Where files go, if that is a directory."""
        scheme, _, path = self.urls["blobs"].partition(":")
        return Path(path.removeprefix("//")) if scheme == "file" else None

    def lines(self) -> list[str]:
        """Return what to tell people: a line for each backend, with the planes it is."""
        planes: dict[str, list[str]] = {}
        for plane, url in self.urls.items():
            planes.setdefault(url, []).append(plane)
        return [f"{', '.join(served)}: {url}" for url, served in planes.items()]


def backends_of(document: str) -> Backends:
    """Return the backends in the output of `jobkit config show --json`."""
    values = {setting["variable"]: setting["value"] for setting in json.loads(document)}
    return Backends(
        {plane: values[f"JOBKIT_{plane.upper()}_URL"] for plane in PLANES},
        values["JOBKIT_PARTITIONS"],
        values["JOBKIT_DRAIN_SECONDS"],
    )
