from __future__ import annotations

from tests.media.fixtures import ffmpeg, workshop

__all__ = ["ffmpeg", "workshop"]
