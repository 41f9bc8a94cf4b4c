"""The transcode plugin: MP4 renditions, an HLS and DASH package and a poster of a video, with ffmpeg."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.transcode.chunk_processor import transcode_chunk
    from workers.transcode.content_key import ContentKey, KeyRequest
    from workers.transcode.payload import Rendition, Sound, SourceInfo, Transcode, TranscodeResult
    from workers.transcode.processor import transcode
    from workers.transcode.storyboard_processor import storyboard

__all__ = [
    "ContentKey",
    "KeyRequest",
    "Rendition",
    "Sound",
    "SourceInfo",
    "Transcode",
    "TranscodeResult",
    "storyboard",
    "transcode",
    "transcode_chunk",
]

_HOMES = {
    "ContentKey": "content_key",
    "KeyRequest": "content_key",
    "storyboard": "storyboard_processor",
    "transcode": "processor",
    "transcode_chunk": "chunk_processor",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: media processes use modules of this package, and need no jobkit."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES.get(name, "payload")
    return getattr(import_module(f"workers.transcode.{home}"), name)
