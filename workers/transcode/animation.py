"""Animated WebP: the probing process cannot read it, newer versions of ffmpeg can, and make a video of it first."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jobkit import Reject
from workers.transcode.errors import FfmpegFailed
from workers.transcode.job_tools import Bench
from workers.transcode.source import OpenSource

_FILE = "animation.mkv"
_FORMAT = "webp_anim"
# In the extended header (VP8X) of a WebP file, the flag that says that there is more than one picture.
_HEAD_BYTES, _FLAGS_AT, _ANIMATED = 21, 20, 0x02


@asynccontextmanager
async def readable(bench: Bench, source: OpenSource) -> AsyncIterator[OpenSource]:
    """Give the source itself, or the video that was made of an animated WebP, for as long as the block runs.

    Raises `Reject` where this ffmpeg cannot read such files.
    """
    if not _is_animated_webp(source):
        yield source
        return
    await _convert(bench, source)
    fd = os.open(bench.directory / _FILE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        yield OpenSource(source.reference, fd, status.st_size, status.st_mtime_ns, stays=False)
    finally:
        os.close(fd)
        (bench.directory / _FILE).unlink()


def _is_animated_webp(source: OpenSource) -> bool:
    head = os.pread(source.fd, _HEAD_BYTES, 0)
    kinds = (head[:4], head[8:16])
    return len(head) == _HEAD_BYTES and kinds == (b"RIFF", b"WEBPVP8X") and bool(head[_FLAGS_AT] & _ANIMATED)


async def _convert(bench: Bench, source: OpenSource) -> None:
    if _FORMAT not in await bench.ffmpeg.formats():
        raise Reject(
            "the source cannot be transcoded: it is an animated WebP, which this ffmpeg cannot read; "
            "set a newer one with JOBKIT_TRANSCODE_FFMPEG, or convert it to GIF, APNG or a video"
        )
    limits = bench.settings
    arguments = ["-nostdin", "-hide_banner", "-v", "error", "-nostats", "-progress", "pipe:1", "-y"]
    arguments += ["-threads", str(limits.threads), "-protocol_whitelist", "file", "-format_whitelist", _FORMAT]
    arguments += ["-f", _FORMAT, "-i", source.argument(), "-map", "0:v:0", "-t", f"{limits.max_duration:g}"]
    arguments += ["-fps_mode", "vfr", "-c:v", "ffv1", "-f", "matroska", f"file:{_FILE}"]
    try:
        await bench.ffmpeg.run(arguments, reads_source=True, pass_fds=[source.fd])
    except FfmpegFailed as error:
        raise Reject(f"the source cannot be transcoded: it is an animated WebP that cannot be read: {error}") from error
