"""The image of this repository, built once; and places for what a container keeps and reads."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from tests.image.buildah import USER, Image, why_not
from workers.transcode.sample import make_sample

# Of a session's fixture, the first test has to wait for the build.
_BUILD_SECONDS = 1200


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests in here the time that a build may take."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(_BUILD_SECONDS))


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    if "IMAGE_TEST" not in os.environ:
        pytest.skip("`make image-test` runs it")
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    # Not one of pytest's directories: those are kept for a while, and this one has gigabytes.
    directory = Path(tempfile.mkdtemp(prefix="jobkit-image-"))
    try:
        try:
            built = Image(directory)
        except AssertionError as error:
            # What a build fetches may be out of reach where only a slice is run, beside everything else.
            if os.environ["IMAGE_TEST"] == "slice":
                pytest.skip(f"it cannot be built here: {error}")
            raise
        yield built
    finally:
        shutil.rmtree(directory)


@dataclass(frozen=True)
class Volumes:
    """What compose.yaml mounts, as folders of the test's own."""

    data: Path
    videos: Path

    def mounts(self) -> dict[str, Path]:
        return {"/var/lib/jobkit": self.data, "/videos": self.videos}


@pytest.fixture
def volumes(image: Image) -> Iterator[Volumes]:
    with tempfile.TemporaryDirectory(prefix="jobkit-image-volumes-") as name:
        found = Volumes(Path(name) / "data", Path(name) / "videos")
        for folder in (found.data, found.videos):
            folder.mkdir()
        os.chown(found.data, *map(int, USER.split(":")))
        anyio.run(lambda: make_sample(found.videos / "clip.mp4", seconds=2, size=(320, 240)))
        yield found
