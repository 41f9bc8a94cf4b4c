"""What the tests of sweeping write, and what they find afterwards."""

from __future__ import annotations

from typing import Any, cast

from jobkit.model.blob import BlobRef, BlobSpace
from jobkit.model.blob_location import attempt_space
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.ops.blob_garbage import Swept
from jobkit.ports.blobs import Blobs
from jobkit.ports.planes import Planes
from jobkit.ports.store import Committed, Effects
from jobkit.testing.conformance.harness import FullStore

LONG = "é" * 300


def planes(store: FullStore, blobs: Blobs) -> Planes:
    nothing = cast(Any, None)
    return Planes(nothing, nothing, store, store, blobs)


async def written(
    blobs: Blobs, under: Fence, name: str = "x", *, type: str = "t", key: str = "k", attempt: int = 1
) -> BlobRef:
    """Write as the runtime does: each attempt in a space of its own."""
    space = attempt_space(BlobSpace(type, key, under), attempt)
    async with blobs.scratch(space) as scratch:
        (scratch / "source").write_bytes(b"ten bytes.")
        return await blobs.store(space, name, scratch / "source")


async def left(blobs: Blobs) -> set[str]:
    return {stored.location async for stored in blobs.objects()}


def garbage(swept: Swept) -> int:
    return sum(tally.count for tally in swept.garbage.values())


async def finished(store: FullStore, job: Envelope, under: Fence, *blobs: BlobRef) -> None:
    assert isinstance(await store.commit(job, under, Effects(blobs=blobs)), Committed)
