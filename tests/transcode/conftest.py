from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from transcode_bench import Desk, Samples, children


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return Samples(tmp_path_factory.mktemp("samples"))


@pytest.fixture(autouse=True)
def no_process_is_left_behind() -> Iterator[None]:
    before = set(children())
    yield
    left = {pid: command for pid, command in children().items() if pid not in before}
    assert not left, f"still running: {left}"
