"""Reads the MP4 files that ffmpeg has finished: the units of a track, at the times at which players show them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

from workers.transcode import boxes
from workers.transcode.box_reader import index_boxes
from workers.transcode.cutting import Unit


@dataclass(frozen=True, slots=True)
class FinishedTrack:
    """One track: `description` is the body of its `stsd` box, times, and the `end`, are in ticks of `timescale`."""

    handler: str
    timescale: int
    description: bytes
    units: tuple[Unit, ...]
    end: int


def read_track(path: Path, handler: str) -> FinishedTrack | None:
    """Return the first track of a handler; None where there is none.

    What is shown before time 0 is left out, and so are packets of sound that begin before it, which hold the encoder's
    delay. Raises `MalformedMp4`.
    """
    movie = boxes.read(path)
    track = movie.track(handler)
    if track is None:
        return None
    shift = _shift(movie, track)
    units = tuple(
        Unit(sample.presentation_time + shift, sample.duration, sample.size, sample.keyframe, sample.position)
        for sample in track.samples()
        if sample.presentation_time + shift + (0 if handler == "soun" else sample.duration - 1) >= 0
    )
    description = _description(path, movie.tracks.index(track))
    return FinishedTrack(handler, track.timescale, description, units, _end(movie, track, units))


def digest(path: Path, units: Sequence[Unit]) -> str:
    """Return what tells units from any others: when each is shown, whether it is a keyframe, and its bytes."""
    found = sha256()
    with path.open("rb") as file:
        for unit in units:
            file.seek(unit.position)
            found.update(struct.pack(">qQ?", unit.time, unit.size, unit.keyframe))
            found.update(file.read(unit.size))
    return found.hexdigest()


def pictures_digest(path: Path) -> str:
    """Return the digest of a file's pictures, empty where it has none."""
    track = read_track(path, "vide")
    return "" if track is None else digest(path, track.units)


def track_description(path: Path, handler: str) -> bytes | None:
    """Return the body of the `stsd` box of the first track of a handler; None where there is none."""
    movie = boxes.read(path)
    track = movie.track(handler)
    return None if track is None else _description(path, movie.tracks.index(track))


def shown_end(path: Path, handler: str) -> float | None:
    """Return when a track has been shown, in seconds, by its edit list; None without one. Raises `MalformedMp4`."""
    movie = boxes.read(path)
    track = movie.track(handler)
    if track is None or not track.edits:
        return None
    return float(sum(Fraction(edit.duration, movie.timescale) for edit in track.edits))


def _end(movie: boxes.Movie, track: boxes.Track, units: Sequence[Unit]) -> int:
    """Return when the last unit has been shown: of pictures out of order only the edit list knows it.

    Their samples last until the next one is decoded, and at a variable rate that is not how long they are shown.
    """
    if not track.edits:
        return max((unit.time + unit.duration for unit in units), default=0)
    edited = sum(Fraction(edit.duration, movie.timescale) for edit in track.edits)
    # Versions of ffmpeg differ in how finely they tell it: no picture may begin behind the end.
    return max(round(edited * track.timescale), *(unit.time + 1 for unit in units), 0)


def _shift(movie: boxes.Movie, track: boxes.Track) -> int:
    """Return what an edit list adds to the times of its track's samples."""
    shift = 0
    for edit in track.edits:
        if edit.media_time is not None:
            return shift - edit.media_time
        shift += round(edit.duration * track.timescale / movie.timescale)
    return shift


def _description(path: Path, number: int) -> bytes:
    with path.open("rb") as file:
        moov = next(box for box in index_boxes(file, path.name) if box.kind == "moov")
    traks = list(moov.all("trak"))
    return bytes(traks[number].need("mdia", "minf", "stbl", "stsd").body)
