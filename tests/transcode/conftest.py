from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from transcode_bench import Desk, Samples, children, disregard_present_children


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return Samples(tmp_path_factory.mktemp("samples"))


@pytest.fixture(autouse=True)
def no_process_is_left_behind() -> Iterator[None]:
    disregard_present_children()
    yield
    left = children()
    assert not left, f"still running: {left}"
