"""Sweeping a bucket: objects of lost attempts go, and so do the parts of uploads whose worker is gone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobkit.backends.registry import memory_planes
from jobkit.backends.s3 import upload
from jobkit.backends.s3.blobs import S3Blobs
from jobkit.errors import Unavailable
from jobkit.model.blob import BlobRef, BlobSpace
from jobkit.model.blob_location import attempt_space
from jobkit.ops.blob_garbage import Kind, sweep
from jobkit.ports.store import Committed, Effects
from jobkit.testing.conformance.values import opened, submitted


async def test_what_lost_attempts_left_in_a_bucket_goes_and_the_rest_stays(
    blobs: S3Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * (upload.PART_BYTES + 1))

    async def nothing(*arguments: Any) -> None:
        """Be of a worker that is dead."""

    async def away(**request: Any) -> Any:
        raise TimeoutError

    async with memory_planes() as memory:
        planes = replace(memory, blobs=blobs)
        store: Any = planes.store
        job = await submitted(store, "a")
        refs: list[BlobRef] = []
        for run in range(3):
            space = attempt_space(BlobSpace("t", "k", under := await opened(store, job)), 1)
            refs.append(await blobs.store(space, "whole", source))
            if run < 2:
                with monkeypatch.context() as patched:
                    patched.setattr(upload.Uploader, "_abort", nothing)
                    patched.setattr(blobs._client, "complete_multipart_upload", away)
                    with pytest.raises(Unavailable):
                        await blobs.store(space, "half", source)
        assert len([left async for left in blobs.leftovers()]) == 2
        shown = await sweep(planes)
        swept = await sweep(planes, remove=True)
        assert shown == swept
        assert swept.garbage["t", Kind.OBJECT].count == swept.garbage["t", Kind.UPLOAD].count == 2
        assert swept.garbage["t", Kind.UPLOAD].bytes == 2 * (upload.PART_BYTES + 1)
        assert isinstance(await store.commit(job, under, Effects(blobs=refs[2:])), Committed)
        assert (await sweep(planes, remove=True)).kept.count == 1
        assert [stored.location async for stored in blobs.objects()] == [refs[2].location]
        assert [left async for left in blobs.leftovers()] == []
