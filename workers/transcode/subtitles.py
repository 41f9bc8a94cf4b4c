"""Subtitles as WebVTT: is a file what it should be, and its HLS playlist, which names it as one segment."""

from __future__ import annotations

import math
import re
from pathlib import Path

TEXT_FILE = "text.vtt"
_CUE = re.compile(r"^(?:\d+:)?\d\d:\d\d\.\d{3} --> (?:\d+:)?\d\d:\d\d\.\d{3}", re.MULTILINE)


def cue_count(path: Path) -> int:
    """Return how many cues a WebVTT file has. Raises `ValueError` where it is none."""
    text = path.read_text(encoding="utf-8")
    if not text.startswith("WEBVTT"):
        raise ValueError(f"{path.name} does not begin with WEBVTT")
    return len(_CUE.findall(text))


def text_playlist(seconds: float) -> str:
    """Return the playlist of a text that is as long as its video. Its times count from 0, as those of the video do."""
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{max(1, math.floor(seconds + 0.5))}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        f"#EXTINF:{seconds:.6f},",
        TEXT_FILE,
        "#EXT-X-ENDLIST",
    ]
    return "\n".join(lines) + "\n"
