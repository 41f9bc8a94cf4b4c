"""Reads the MP4 files that ffmpeg has finished: the units of a track, at the times at which players show them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workers.transcode import boxes
from workers.transcode.box_reader import index_boxes
from workers.transcode.cutting import Unit


@dataclass(frozen=True, slots=True)
class FinishedTrack:
    """One track: `description` is the body of its `stsd` box, times are in ticks of `timescale`."""

    handler: str
    timescale: int
    description: bytes
    units: tuple[Unit, ...]

    @property
    def end(self) -> int:
        """When its last unit ends."""
        return max((unit.time + unit.duration for unit in self.units), default=0)


def read_track(path: Path, handler: str) -> FinishedTrack | None:
    """Return the first track of a handler; None where there is none.

    What is shown before time 0 (the first packets of AAC, which hold only the encoder's delay) is left out. Raises
    `MalformedMp4`.
    """
    movie = boxes.read(path)
    track = movie.track(handler)
    if track is None:
        return None
    shift = _shift(movie, track)
    units = tuple(
        Unit(sample.presentation_time + shift, sample.duration, sample.size, sample.keyframe, sample.position)
        for sample in track.samples()
        if sample.presentation_time + shift + sample.duration > 0
    )
    return FinishedTrack(handler, track.timescale, _description(path, movie.tracks.index(track)), units)


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
