"""What tests of media have in common: each ffmpeg in turn, and a place where packages are made once."""

from __future__ import annotations

import pytest

from tests.media.ffmpegs import NAMES, Ffmpeg, required
from tests.media.packages import Workshop

__all__ = ["ffmpeg", "workshop"]


@pytest.fixture(scope="session", params=NAMES)
def ffmpeg(request: pytest.FixtureRequest) -> Ffmpeg:
    """Each version of ffmpeg in turn."""
    return required(str(request.param))


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))
