from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from transcode_bench import FFMPEGS, Desk, Samples, children, disregard_present_children


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture(params=sorted(FFMPEGS), scope="session")
def ffmpeg(request: pytest.FixtureRequest) -> str:
    """Each ffmpeg that the plugin is to work with."""
    found = FFMPEGS[request.param]
    if found is None:
        pytest.skip(f"there is no {request.param} ffmpeg here")
    return found


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return Samples(tmp_path_factory.mktemp("samples"))


@pytest.fixture(autouse=True)
def no_process_is_left_behind() -> Iterator[None]:
    disregard_present_children()
    yield
    left = children()
    assert not left, f"still running: {left}"
