"""A directory as a backend: blobs as files."""

from __future__ import annotations

from jobkit.backends.local_files.blobs import LocalFileBlobs, local_root
from jobkit.backends.local_files.diagnosis import diagnose
from jobkit.model.plane import Plane
from jobkit.ports.backend import Backend, Opening, Place
from jobkit.ports.blobs import Blobs
from jobkit.ports.diagnosis import Finding


async def _open_blobs(url: str, opening: Opening) -> Blobs:
    root = local_root(url)
    blobs = LocalFileBlobs(root)
    # Many a command never looks at a file: one that does is told by the first look that there is no directory.
    if opening.create or root.exists():
        await blobs.start()
    return blobs


async def _diagnose(place: Place) -> list[Finding]:
    return await diagnose(place.url)


BACKEND = Backend(
    name="directory", schemes={Plane.BLOBS: ("file",)}, open_blobs=_open_blobs, diagnose=_diagnose, local=True
)
