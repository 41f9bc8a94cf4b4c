"""S3 as a backend: blobs as objects in a bucket."""

from __future__ import annotations

from jobkit.model.plane import Plane
from jobkit.ports.backend import Backend, Opening, Place
from jobkit.ports.blobs import Blobs
from jobkit.ports.diagnosis import Finding


async def _open_blobs(url: str, _opening: Opening) -> Blobs:
    from jobkit.backends.s3.blobs import open_blobs

    return await open_blobs(url)


async def _diagnose(place: Place) -> list[Finding]:
    from jobkit.backends.s3.diagnosis import diagnose

    return await diagnose(place.url, place.clock)


BACKEND = Backend(name="s3", schemes={Plane.BLOBS: ("s3",)}, extra="s3", open_blobs=_open_blobs, diagnose=_diagnose)
