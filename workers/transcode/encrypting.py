"""Encrypts a package that has passed every check, and compares what can be decrypted of it with what was checked.

With AES-128 each segment is encrypted as a whole, with a vector of its own; with `cenc` and `cbcs` the samples in it
are (`common_encryption`). Playlists of key pictures name parts of segments by their bytes, which are no longer where
they were: they are left out.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from anyio import to_thread

from workers.transcode import hls, progress
from workers.transcode.common_encryption import encrypt_track
from workers.transcode.content_key import KEY_BYTES, ContentKey, PackageKey
from workers.transcode.errors import OutputInvalid
from workers.transcode.job_tools import Bench
from workers.transcode.packaging import Playlists
from workers.transcode.plan import HLS_DIRECTORY, TranscodePlan, package_folder

_new_vector = partial(secrets.token_bytes, KEY_BYTES)


async def encrypt_package(
    bench: Bench,
    plan: TranscodePlan,
    playlists: Playlists,
    key: PackageKey,
    new_vector: Callable[[], bytes] = _new_vector,
) -> Playlists:
    """Encrypt the segments of a package and return its playlists, as they are written now.

    Raises `OutputInvalid` where a segment does not decrypt to what it was, what `encrypt_track` raises, or `OSError`.
    """
    tracks = list(_tracks(plan, playlists))
    encrypted: dict[str, hls.MediaPlaylist] = {}
    for folder, handler, playlist in tracks:
        await bench.report(progress.ENCRYPT, len(encrypted) / len(tracks))
        here = bench.directory / folder
        if key.request.in_dash:
            segments = await encrypt_track(bench, folder, handler, playlist, key)
        else:
            # Segment by segment, so that a lost lease ends it soon.
            segments = [
                await to_thread.run_sync(_encrypt, here, segment, key.content, new_vector())
                for segment in playlist.segments
            ]
        encrypted[folder] = await to_thread.run_sync(_write_playlist, here, segments)
    pictures = [encrypted[package_folder(rung)] for rung in plan.rungs]
    sounds = [replace(each, playlist=encrypted[f"{HLS_DIRECTORY}/{each.folder}"]) for each in playlists.sounds]
    return Playlists(tuple(pictures), tuple(sounds), playlists.texts)


def _tracks(plan: TranscodePlan, playlists: Playlists) -> Iterator[tuple[str, str, hls.MediaPlaylist]]:
    """Yield each folder of segments, what it holds, and its playlist."""
    for rung, playlist in zip(plan.rungs, playlists.pictures, strict=True):
        yield package_folder(rung), "vide", playlist
    for sound in playlists.sounds:
        yield f"{HLS_DIRECTORY}/{sound.folder}", "soun", sound.playlist


def _encrypt(folder: Path, segment: hls.Segment, key: ContentKey, vector: bytes) -> hls.Segment:
    from workers.transcode.segment_cipher import encrypt_file, plain_digest  # it takes packages of an extra

    path = folder / segment.uri
    plain = encrypt_file(path, key.key, vector)
    try:
        found: bytes | None = plain_digest(path, key.key, vector)
    except ValueError:
        found = None
    if found != plain:
        raise OutputInvalid(f"outputs are damaged: {folder.name}/{segment.uri} does not decrypt to what it was")
    return replace(segment, key=hls.SegmentKey(key.uri, vector))


def _write_playlist(folder: Path, segments: list[hls.Segment]) -> hls.MediaPlaylist:
    """Write the playlist of encrypted segments, and return it as it reads. Raises `OutputInvalid`."""
    (folder / hls.IFRAMES_FILE).unlink(missing_ok=True)
    file = folder / hls.INDEX_FILE
    file.write_text(hls.media_playlist(segments))
    read = hls.parse_media_playlist(file.read_text())
    if read.segments != tuple(segments):
        raise OutputInvalid(f"outputs are not as planned: {folder.name}/{file.name} does not name the keys as they are")
    return read
