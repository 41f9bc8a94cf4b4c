"""Encrypts the samples of a track (CENC), and compares what can be decrypted with what was checked before.

Shaka Packager encrypts and FFmpeg decrypts, so that neither is judged by itself. Sizes and times of samples, and the
segments of pictures, stay as they were; those of sound are cut anew, up to a packet off.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import anyio
from anyio import to_thread

from workers.transcode import boxes, hls
from workers.transcode.box_reader import MalformedMp4
from workers.transcode.child import child_command
from workers.transcode.content_key import PackageKey
from workers.transcode.errors import OutputInvalid, PackagingFailed
from workers.transcode.job_tools import Bench
from workers.transcode.packager import encrypt_samples, handed_over

_PLAIN, _ENCRYPTED = "plain.mp4", "encrypted"
METHODS = {"cenc": "SAMPLE-AES-CTR", "cbcs": "SAMPLE-AES"}


@dataclass(frozen=True, slots=True)
class _Cut:
    """The samples of a track, segment by segment, in ticks of `timescale`; their places in files are left out."""

    timescale: int
    edited: bool
    segments: tuple[tuple[tuple[int, int, int, int, bool], ...], ...]

    def samples(self) -> list[tuple[int, int, int, int, bool]]:
        return [sample for segment in self.segments for sample in segment]

    def begins(self, number: int) -> Fraction:
        """Return when a segment begins to be shown, in seconds."""
        return Fraction(min(time + offset for time, offset, *_ in self.segments[number]), self.timescale)


async def encrypt_track(
    bench: Bench, folder: str, handler: str, playlist: hls.MediaPlaylist, key: PackageKey
) -> list[hls.Segment]:
    """Put encrypted segments in the place of a folder's, and return them.

    Raises `OutputInvalid` where they are not those that there were, `PackagingFailed`, and as `Supervisor.run` does.
    """
    here, scheme, key_id = bench.directory / folder, key.request.encryption, key.request.key_id.replace("-", "")
    files = [here / name for name in playlist.files()]
    await bench.require_room(2 * await to_thread.run_sync(_size, files), "a track that is being encrypted")
    await to_thread.run_sync(_put_together, files, bench.directory / _PLAIN)
    await encrypt_samples(bench, _PLAIN, handler, _ENCRYPTED, scheme, key_id, key.content.key)
    segments = await to_thread.run_sync(_compared, playlist, handler, here, bench.directory / _ENCRYPTED)
    made = [hls.INIT_FILE, *(segment.uri for segment in segments)]
    await _decrypted(bench, [f"{_ENCRYPTED}/{name}" for name in made], key.content.key)
    await to_thread.run_sync(_replace, bench.directory, here)
    told = hls.SegmentKey(key.content.uri, None, METHODS[scheme], bytes.fromhex(key_id))
    return [replace(segment, key=told) for segment in segments]


def _size(files: Sequence[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def _put_together(files: Sequence[Path], target: Path) -> None:
    with target.open("wb") as whole:
        for file in files:
            with file.open("rb") as part:
                shutil.copyfileobj(part, whole, 1 << 20)


def _compared(playlist: hls.MediaPlaylist, handler: str, plain: Path, made: Path) -> list[hls.Segment]:
    """Return the segments as they are now. Raises `OutputInvalid` where a sample has another time or size."""
    names = sorted(path.name for path in made.glob("*.m4s"))
    try:
        before = _cut(plain, [segment.uri for segment in playlist.segments])
        after = _cut(made, names)
    except (MalformedMp4, OSError) as error:
        raise OutputInvalid(f"outputs are damaged: {plain.name}, encrypted: {error}") from error
    if after.edited or before.timescale != after.timescale or before.samples() != after.samples():
        raise OutputInvalid(f"outputs are damaged: {plain.name}, encrypted, has not the times that it had")
    if handler == "vide":
        # The packager has begun one with each keyframe, and players change between renditions where segments begin.
        counted = [(name, len(samples)) for name, samples in zip(names, after.segments, strict=True)]
        join_segments(made, counted, [len(segment) for segment in before.segments])
        return list(playlist.segments)
    # Sums, so that errors of rounding do not add up; the first begins with the video, as before.
    bounds = [Fraction(0), *(after.begins(number) for number in range(1, len(names))), Fraction(playlist.duration)]
    ends = [round(bound, hls.DIGITS) for bound in bounds]
    return [hls.Segment(float(ends[number + 1] - ends[number]), name) for number, name in enumerate(names)]


def join_segments(folder: Path, parts: Sequence[tuple[str, int]], wanted: Sequence[int]) -> None:
    """Join files of so many samples each to segments of as many as are wanted. Raises `OutputInvalid`."""
    left = list(reversed(parts))
    for number, samples in enumerate(wanted):
        held, files = 0, []
        while left and held < samples:
            name, more = left.pop()
            held += more
            files.append(folder / name)
        if held != samples:
            raise OutputInvalid(f"outputs are damaged: segment {number}, encrypted, does not begin where it did")
        first, *rest = files
        with first.open("ab") as segment:
            for file in rest:
                with file.open("rb") as part:
                    shutil.copyfileobj(part, segment)
                file.unlink()
        # That name is free, or its own: no segment has less than a part.
        first.rename(folder / hls.segment_file(number))


def _cut(folder: Path, names: Sequence[str]) -> _Cut:
    movie = boxes.read(folder / hls.INIT_FILE)
    (track,) = movie.tracks
    segments = [
        tuple(
            (each.decode_time, each.composition_offset, each.duration, each.size, each.keyframe)
            for fragment in boxes.fragments(movie, folder / name)
            for each in fragment.samples
        )
        for name in names
    ]
    return _Cut(track.timescale, bool(track.edits), tuple(segments))


async def _decrypted(bench: Bench, files: Sequence[str], key: bytes) -> None:
    """Raise `OutputInvalid` where encrypted files do not decrypt to what they were made of."""
    answers: list[dict[str, object]] = [{}]

    def on_line(line: str) -> bool:
        try:
            answers.append(dict(json.loads(line)))
        except ValueError as error:
            raise PackagingFailed(f"the decrypting process said what is no answer: {line[:200]!r}") from error
        return True

    # In a file: the names of very many segments are longer than a command line.
    order = anyio.Path(bench.directory / "decrypt.json")
    with handed_over(key.hex().encode()) as fd:
        await order.write_text(json.dumps({"plain": [_PLAIN], "encrypted": list(files), "key": fd}))
        finished = await bench.supervisor.run(
            child_command("decrypt_child", [order.name]),
            cwd=bench.directory,
            name="the decrypting process",
            on_line=on_line,
            pass_fds=[fd],
        )
    answer = answers[-1]
    if "damaged" in answer:
        raise OutputInvalid(f"outputs are damaged: {answer['damaged']}")
    if finished.code != 0 or "done" not in answer:
        said = answer.get("failed") or finished.stderr.replace(key.hex(), "(the key)")[-1000:] or "it gave no reason"
        raise PackagingFailed(f"the decrypting process ended with code {finished.code}: {said}")


def _replace(directory: Path, folder: Path) -> None:
    shutil.rmtree(folder)
    (directory / _ENCRYPTED).rename(folder)
    (directory / _PLAIN).unlink()
