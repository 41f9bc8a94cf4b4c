"""A directory as a backend: blobs as files."""

from __future__ import annotations

from jobkit.backends.local_files.blobs import LocalFileBlobs, local_root
from jobkit.backends.local_files.diagnosis import diagnose
from jobkit.model.plane import Plane
from jobkit.ports.backend import Backend, Opening, Place
from jobkit.ports.blobs import Blobs
from jobkit.ports.diagnosis import Finding


async def _open_blobs(url: str, _opening: Opening) -> Blobs:
    blobs = LocalFileBlobs(local_root(url))
    await blobs.start()
    return blobs


async def _diagnose(place: Place) -> list[Finding]:
    return await diagnose(place.url)


BACKEND = Backend(
    name="directory", schemes={Plane.BLOBS: ("file",)}, open_blobs=_open_blobs, diagnose=_diagnose, local=True
)
