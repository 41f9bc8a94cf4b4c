"""A key source as an operator would write one, and what an encrypted package is looked at with."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from workers.transcode import ContentKey, KeyRequest

_ENTRY = re.compile(r'#EXT-X-KEY:METHOD=AES-128,URI="([^"]+)",IV=0x([0-9a-f]{32})\n#EXTINF:[\d.]+,\n(\S+)')

asked: list[KeyRequest] = []


async def give(request: KeyRequest) -> ContentKey:
    """Give a key, the same for the same id."""
    asked.append(request)
    return ContentKey(key_of(request.key_id), f"https://keys.example.com/{request.key_id}")


def key_of(key_id: str) -> bytes:
    return hashlib.sha256(key_id.encode()).digest()[:16]


def entries(playlist: Path) -> list[tuple[str, str, str]]:
    """Return address of the key, vector and file of each segment, as the playlist has them."""
    return _ENTRY.findall(playlist.read_text())


def decrypted(playlist: Path) -> bytes:
    """Return a rendition as openssl decrypts it: its init segment, and all segments."""
    content = (playlist.parent / "init.mp4").read_bytes()
    for uri, vector, name in entries(playlist):
        key = key_of(Path(urlsplit(uri).path).name).hex()
        command = ["openssl", "enc", "-d", "-aes-128-cbc", "-K", key, "-iv", vector, "-in", str(playlist.parent / name)]
        content += subprocess.run(command, check=True, capture_output=True).stdout
    return content
