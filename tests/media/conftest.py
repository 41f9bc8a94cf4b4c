from __future__ import annotations

import pytest

from tests.media.ffmpegs import NAMES, Ffmpeg, required


@pytest.fixture(scope="session", params=NAMES)
def ffmpeg(request: pytest.FixtureRequest) -> Ffmpeg:
    """Each version of ffmpeg in turn."""
    return required(str(request.param))
