"""What a file says of itself before anything decodes it: a part of the probing process, which imports no jobkit."""

from __future__ import annotations

from pathlib import Path

from av.container import InputContainer

from workers.transcode.box_reader import MalformedMp4
from workers.transcode.codecs import codec_string
from workers.transcode.finished import shown_end, track_description

_HEAD_BYTES = 4096


def known_end(path: str) -> float | None:
    """Return when the pictures of an MP4 file that was made here have been shown, None where that is not known."""
    try:
        return shown_end(Path(path.removeprefix("file:")), "vide")
    except MalformedMp4:
        return None


def told_format(path: str) -> str | None:
    """Return what a player is told of the pictures of an MP4 file that was made here, None where that is not known."""
    try:
        description = track_description(Path(path.removeprefix("file:")), "vide")
        return None if description is None else codec_string(description)
    except MalformedMp4:
        return None


def unreadable(path: str) -> str:
    """Return the word for a file that cannot be opened, by how it begins."""
    return "no-index" if head(path)[4:8] == b"ftyp" else "not-media"


def head(path: str) -> bytes:
    """Return how a file begins."""
    with open(path.removeprefix("file:"), "rb") as file:  # noqa: PTH123  (a Path would spoil odd names)
        file.seek(0)
        return file.read(_HEAD_BYTES)


def index_beyond_end(container: InputContainer) -> bool:
    """Tell whether the index of an MP4 names bytes that the file does not have."""
    size = container.size
    return any(
        entry.pos + entry.size > size
        for stream in (*container.streams.video, *container.streams.audio)
        for entry in stream.index_entries
    )
