"""What kind of bytes a file holds, by its name."""

from __future__ import annotations

import mimetypes

# What machines' own tables lack or call otherwise; players are strict about these.
_KNOWN = {
    ".aac": "audio/aac",
    ".m3u8": "application/vnd.apple.mpegurl",
    ".m4a": "audio/mp4",
    ".m4s": "video/iso.segment",
    ".m4v": "video/mp4",
    ".mp4": "video/mp4",
    ".mpd": "application/dash+xml",
    ".ts": "video/mp2t",
    ".vtt": "text/vtt",
    ".webm": "video/webm",
    ".webp": "image/webp",
}
_UNKNOWN = "application/octet-stream"
# Not the machine's own files: the answer is the same wherever it is asked.
_TABLE = mimetypes.MimeTypes(filenames=())


def media_type(name: str) -> str:
    """Return the media type of a file called `name`; `application/octet-stream` where the name does not tell."""
    suffix = f".{name.rpartition('.')[2].lower()}" if "." in name.rpartition("/")[2] else ""
    if suffix in _KNOWN:
        return _KNOWN[suffix]
    guessed, encoding = _TABLE.guess_type(f"x{suffix}")
    return guessed if guessed is not None and encoding is None else _UNKNOWN
