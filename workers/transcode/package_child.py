"""Cuts finished renditions into the segments of a package, in a process of its own; encodes nothing.

`main` takes one argument, JSON: `{"seconds": ..., "tracks": [{"file", "handler", "folder", "language"}, ...]}`, the
pictures before the sound. Each folder gets `init.mp4`, `00000.m4s` and so on, and `index.m3u8`; one of pictures also
`iframes.m3u8`. Answers with lines of JSON: `{"beat": tracks done}` now and then, and at the end `{"done": true}`,
`{"malformed": "..."}` where a rendition cannot be cut, or `{"failed": "..."}` for troubles of the machine.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import BinaryIO

from workers.transcode import hls
from workers.transcode.beat import Beat, say
from workers.transcode.box_reader import MalformedMp4
from workers.transcode.cutting import Cut, Placed, cut_pictures, cut_sound
from workers.transcode.finished import FinishedTrack, read_track
from workers.transcode.fragment_writer import delimiter, fragment_header, init_segment, segment_type
from workers.transcode.sound_codecs import without_pre_skip


@dataclass(frozen=True, slots=True)
class Task:
    """One track to package: the MP4 file it is in, and the folder that its segments go to."""

    file: str
    handler: str
    folder: str
    language: str


def package(tasks: Sequence[Task], seconds: float) -> None:
    """Package all tracks, so that their segments begin together. Raises `MalformedMp4`, `ValueError`, `OSError`."""
    tracks = [_track(task) for task in tasks]
    end = max(Fraction(track.end, track.timescale) for track in tracks)
    starts: list[Fraction] = []
    beat = Beat()
    for number, (task, track) in enumerate(zip(tasks, tracks, strict=True)):
        if track.handler == "vide":
            cuts = cut_pictures(track.units, 0, round(end * track.timescale), round(seconds * track.timescale))
            starts = starts or [Fraction(cut.start, track.timescale) for cut in cuts]
        else:
            cuts = cut_sound(track.units, [round(start * track.timescale) for start in starts])
        with Path(task.file).open("rb") as media:
            _write(task, track, cuts, media, partial(_within, beat, number))


def _within(beat: Beat, done: int, share: float) -> None:
    beat.at(done + share)


def _track(task: Task) -> FinishedTrack:
    track = read_track(Path(task.file), task.handler)
    if track is None or not track.units:
        what = "pictures" if task.handler == "vide" else "sound"
        raise MalformedMp4(
            f"{task.file}: it has no {what}, as this ffmpeg could decode none of the source's (JOBKIT_TRANSCODE_FFMPEG "
            "names another)"
        )
    return track


def _write(
    task: Task, track: FinishedTrack, cuts: Sequence[Cut], media: BinaryIO, on_share: Callable[[float], None]
) -> None:
    folder = Path(task.folder)
    folder.mkdir(parents=True, exist_ok=True)
    description = track.description if track.handler == "vide" else without_pre_skip(track.description)
    (folder / hls.INIT_FILE).write_bytes(init_segment(track.handler, track.timescale, description, task.language))
    segments: list[hls.Segment] = []
    iframes: list[hls.ByteRange] = []
    before_repeat = delimiter(track.description)
    number = 1
    for index, cut in enumerate(cuts):
        name = hls.segment_file(index)
        with (folder / name).open("wb") as file:
            file.write(segment_type())
            # The first picture is a fragment of its own, so that a playlist of such pictures can name it by its bytes.
            parts = [cut.placed[:1], cut.placed[1:]] if track.handler == "vide" else [cut.placed]
            for part in parts:
                if part:
                    at = file.tell()
                    file.write(fragment_header(number, part, before_repeat))
                    _copy(media, file, part, before_repeat)
                    number += 1
                if part is parts[0]:
                    iframes.append(hls.ByteRange(file.tell() - at, at))
        start, end = (round(Fraction(tick, track.timescale), hls.DIGITS) for tick in (cut.start, cut.end))
        segments.append(hls.Segment(float(end - start), name))
        on_share((index + 1) / len(cuts))
    (folder / hls.INDEX_FILE).write_text(hls.media_playlist(segments))
    if track.handler == "vide":
        (folder / hls.IFRAMES_FILE).write_text(hls.iframes_playlist(segments, iframes))


def _copy(media: BinaryIO, file: BinaryIO, placed: Sequence[Placed], before_repeat: bytes) -> None:
    for each in placed:
        if each.repeat:
            file.write(before_repeat)
        media.seek(each.unit.position)
        content = media.read(each.unit.size)
        if len(content) < each.unit.size:
            raise OSError(errno.EIO, "it ends too early", media.name)
        file.write(content)


def main(arguments: list[str]) -> int:
    """Package what the argument names."""
    order = json.loads(arguments[0])
    try:
        package([Task(**task) for task in order["tracks"]], order["seconds"])
    except (MalformedMp4, ValueError) as error:
        say({"malformed": str(error)})
    except OSError as error:
        say({"failed": f"{error.filename or 'a segment'}: {error.strerror}"})
    else:
        say({"done": True})
    return 0
