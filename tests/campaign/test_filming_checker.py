"""The reader of films turns red for each way to break them, and for nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from jobkit.model.blob import BlobRef
from jobkit.ports.inspection import JobRecord, JobState
from tests.campaign.filming import CHUNK, FILM, PARTS, PICTURES
from tests.campaign.filming_checker import effects, one_fence, parts, pictures

C, X = JobState.COMMITTED, JobState.CANCELLED


def record(id: str, type: str, state: JobState = C, token: int = 7) -> JobRecord:
    key = id if type == FILM else f"film/{id}"
    return JobRecord(id, type, key, None, state, "me", token, 1, (), 1.0, "", b"null", 0.0, 0.0, 1.0)


def file(token: int = 7, nonce: str = "n", job: str = "film") -> BlobRef:
    return BlobRef("32p.mp4", f"transcode/film/{token}-{nonce}/32p.mp4", 5, "ab" * 32, job)


@pytest.mark.parametrize(
    ("state", "files", "entries", "broken"),
    [
        (C, (file(), file()), ("film",), 0),
        (C, (file(),), ("film", "film"), 1),
        (C, (file(),), (), 1),
        (C, (), ("film",), 1),
        (X, (), (), 0),
        (X, (file(),), ("film",), 2),
    ],
)
def test_a_film_takes_effect_once_or_not_at_all(
    state: JobState, files: Sequence[BlobRef], entries: Sequence[str], broken: int
) -> None:
    assert len(list(effects(record("film", FILM, state), files, entries))) == broken


@pytest.mark.parametrize(
    ("files", "broken"),
    [
        ((file(), file()), 0),
        ((), 0),
        ((file(), file(nonce="other")), 1),
        ((file(6),), 1),
        ((file(job="other"),), 1),
        ((replace(file(), location="elsewhere"),), 1),
    ],
)
def test_all_files_are_of_the_attempt_that_committed(files: Sequence[BlobRef], broken: int) -> None:
    assert len(list(one_fence(record("film", FILM), files))) == broken


def test_a_film_is_put_together_of_all_its_chunks() -> None:
    film, chunks = record("film", FILM), [record(name, CHUNK) for name in sorted(PARTS)]
    assert not list(parts(film, chunks))
    assert list(parts(film, chunks[1:]))
    assert list(parts(film, [*chunks, record("0", CHUNK)]))
    assert list(parts(film, []))
    assert list(parts(film, [replace(chunks[0], state=JobState.DEAD), *chunks[1:]]))


def test_of_a_cancelled_film_nothing_goes_on() -> None:
    film, chunks = record("film", FILM, X), [record(name, CHUNK, X) for name in sorted(PARTS)]
    assert not list(parts(film, []))
    assert not list(parts(film, [record("0", CHUNK), *chunks[1:]]))
    assert list(parts(film, [replace(chunks[0], state=JobState.RUNNING), *chunks[1:]]))


def test_every_picture_is_there_once_in_order() -> None:
    whole = list(range(PICTURES))
    assert not list(pictures("film", whole))
    for wrong in (whole[:-1], [*whole, 0], [*whole[:10], *whole[11:]], [0, *whole], [*whole[:4], 5, 4, *whole[6:]]):
        assert list(pictures("film", wrong))
