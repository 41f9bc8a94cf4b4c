"""Sweeping files whose names say more, or less, than where they belong: none of them is taken for another's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from conformance.sweep.sweeping import LONG, finished, garbage, left, planes, written
from jobkit.backends.local_files.blobs import LocalFileBlobs
from jobkit.ops.blob_garbage import Kind, sweep
from jobkit.ports.blobs import Blobs, StoredObject
from jobkit.testing.conformance.harness import FullStore
from jobkit.testing.conformance.values import opened, submitted


@pytest.mark.parametrize("key", ["", ".", "a/b", "~", "%7E", LONG, "😀" * 100], ids=range(7))
async def test_any_key_is_recognised_in_its_files(store: FullStore, files: LocalFileBlobs, key: str) -> None:
    job = await submitted(store, "a", key=key, type="a type")
    await written(files, await opened(store, job), type="a type", key=key)
    under = await opened(store, job)
    kept = await written(files, under, type="a type", key=key)
    await finished(store, job, under, kept)
    swept = await sweep(planes(store, files), remove=True)
    assert await left(files) == {kept.location}
    assert swept.garbage["a type", Kind.OBJECT].count == 1


async def test_what_jobkit_did_not_write_is_never_touched(
    store: FullStore, files: LocalFileBlobs, tmp_path: Path
) -> None:
    await opened(store, await submitted(store, "a", key="k"))
    names = [
        "file",
        "t/file",
        "t/k/file",
        "t/k/notes/x",
        "t/k/007-n/x",
        "t/k/1-/x",
        "t/k/-1-n/x",
        "t/k d/1-n/x",
        "t/%FF/1-n/x",
    ]
    for name in names:
        path = tmp_path / "swept" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    swept = await sweep(planes(store, files), remove=True, unknown_keys=True)
    assert (garbage(swept), swept.foreign.count) == (0, len(names))
    assert await left(files) == set(names)


async def test_names_that_a_file_system_gives_back_in_other_letters_are_not_taken_for_garbage(
    store: FullStore, files: LocalFileBlobs
) -> None:
    """A committed file must not go because its listing is spelled otherwise than its manifest."""
    job = await submitted(store, "a")
    under = await opened(store, job)
    ref = await written(files, under, "Poster.JPG")
    await finished(store, job, under, ref)
    spelled = _SpelledOtherwise(files, ref.location.replace("Poster.JPG", "POSTER.jpg"))
    swept = await sweep(planes(store, cast(Any, spelled)), remove=True)
    assert (swept.kept.count, spelled.deleted) == (1, [])


@pytest.mark.parametrize("name", ["My File", "caf\u00e9", "a\\b"])
async def test_a_file_that_jobkit_cannot_have_written_is_not_its_to_remove(
    store: FullStore, files: LocalFileBlobs, name: str
) -> None:
    job = await submitted(store, "a")
    stale = await opened(store, job)
    await opened(store, job)
    ref = await written(files, stale, "x")
    spelled = _SpelledOtherwise(files, ref.location[:-1] + name)
    swept = await sweep(planes(store, cast(Any, spelled)), remove=True)
    assert (swept.foreign.count, spelled.deleted) == (1, [])


class _SpelledOtherwise:
    """Blobs of which one is listed, as `location`."""

    def __init__(self, blobs: Blobs, location: str) -> None:
        self._blobs, self._location = blobs, location
        self.deleted: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    async def objects(self) -> AsyncIterator[StoredObject]:
        yield StoredObject(self._location, 10)

    async def delete(self, locations: list[str]) -> None:
        self.deleted += locations


async def test_keys_that_differ_in_case_alone_are_each_swept_by_their_own_record(
    store: FullStore, files: LocalFileBlobs
) -> None:
    kept = []
    for key in ("Key", "key"):
        job = await submitted(store, f"job-{key}", key=key)
        under = await opened(store, job)
        kept.append(await written(files, under, key=key))
        await finished(store, job, under, kept[-1])
    assert len({ref.location.casefold() for ref in kept}) == 2
    await sweep(planes(store, files), remove=True)
    assert await left(files) == {ref.location for ref in kept}
