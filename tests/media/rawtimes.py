"""Judges a package by its raw times, as a browser plays it: `tfdt` and `trun` alone, whatever edit lists say.

Each function returns sentences that say what is wrong; none where nothing is.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from tests.media.playlists import Playlist, Variant
from workers.transcode import boxes
from workers.transcode.boxes import Movie, Track

# Half of what lips may be off by before anybody sees it, and less than any picture lasts.
TOLERANCE = Fraction(5, 1000)

_NAMES = {"vide": "picture", "soun": "packet of sound"}


@dataclass(frozen=True, slots=True)
class Timed:
    """One picture or packet of sound: when it is decoded and shown, and how long it lasts, in seconds."""

    decoded: Fraction
    shown: Fraction
    lasts: Fraction
    size: int
    keyframe: bool


@dataclass(frozen=True, slots=True)
class Segment:
    """What one media segment holds of each kind of track, and where its playlist says that it begins."""

    name: str
    begins: Fraction
    tracks: dict[str, list[Timed]]

    def main(self) -> list[Timed]:
        """Return the samples by which a segment is told to begin: its pictures, or else its sound."""
        return self.tracks.get("vide") or self.tracks.get("soun") or []


def presented(path: Path) -> dict[str, list[Timed]]:
    """Return the samples of an MP4 file by kind, at the times at which its edit lists have them shown."""
    movie = boxes.read(path)
    return {track.handler: list(_presented(track, movie)) for track in movie.tracks}


def segments(playlist: Playlist) -> list[Segment]:
    """Return what the media segments of a playlist hold."""
    movie = boxes.read(playlist.init)
    found = []
    begins = Fraction()
    for path, seconds in playlist.segments:
        found.append(Segment(path.name, begins, _raw(movie, path)))
        begins += seconds
    return found


def timing_problems(variant: Variant, rendition: Path, frame: float) -> list[str]:
    """Tell where the raw times of a variant are not those of its MP4 file, or not those that playlists tell."""
    problems: list[str] = []
    whole: dict[str, list[Timed]] = {}
    for playlist in variant.playlists:
        read = segments(playlist)
        problems += segment_problems(read, frame)
        for kind in _NAMES:
            samples = [sample for segment in read for sample in segment.tracks.get(kind, [])]
            if samples:
                whole[kind] = samples
    problems += sample_problems(whole, presented(rendition))
    return [f"{variant.name}: {problem}" for problem in problems]


def segment_problems(read: Sequence[Segment], frame: float) -> list[str]:
    """Tell where a segment does not begin when its playlist says, or not with a keyframe, or leaves a hole."""
    problems = []
    origin = min((sample.shown for sample in read[0].main()), default=Fraction())
    for segment in read:
        samples = segment.main()
        if not samples:
            problems.append(f"{segment.name} is empty")
            continue
        off = min(sample.shown for sample in samples) - origin - segment.begins
        if abs(off) > frame:
            problems.append(f"{segment.name} begins {_ms(off)} off the time that its playlist says")
        if not samples[0].keyframe:
            problems.append(f"{segment.name} does not begin with a keyframe")
    for kind in _NAMES:
        samples = [sample for segment in read for sample in segment.tracks.get(kind, [])]
        problems += _holes(kind, samples, frame)
    return problems


def sample_problems(raw: dict[str, list[Timed]], expected: dict[str, list[Timed]]) -> list[str]:
    """Tell where samples of a package are not those of the MP4 file, or not as far from one another.

    Sound that an edit list cuts away may be left out, and pictures may be there more than once.
    """
    if raw.keys() != expected.keys():
        return [f"it holds {sorted(raw)}, the MP4 file {sorted(expected)}"]
    problems = []
    # Packets of sound tell which is which by their sizes and their number; without, the first picture is first.
    shift = min(sample.shown for sample in raw["vide"]) - min(sample.shown for sample in expected["vide"])
    if "soun" in raw:
        heard = [sample for sample in expected["soun"] if sample.shown + sample.lasts > 0]
        wanted = heard if len(raw["soun"]) == len(heard) else expected["soun"]
        if [sample.size for sample in raw["soun"]] != [sample.size for sample in wanted]:
            return [f"its {len(raw['soun'])} packets of sound are not the {len(wanted)} of the MP4 file"]
        shift = raw["soun"][0].shown - wanted[0].shown
        problems += _off(
            "soun", [got.shown - shift - want.shown for got, want in zip(raw["soun"], wanted, strict=True)]
        )
    shown = sorted(sample.shown - shift for sample in raw["vide"])
    return problems + _off("vide", [_nearest(each.shown, shown) - each.shown for each in expected["vide"]])


def _off(kind: str, off: Sequence[Fraction]) -> list[str]:
    many = sum(abs(each) > TOLERANCE for each in off)
    worst = max(off, key=abs)
    return [f"{many} of {len(off)} ({_NAMES[kind]}) are off by up to {_ms(worst)}"] if many else []


def _nearest(time: Fraction, ordered: Sequence[Fraction]) -> Fraction:
    at = bisect(ordered, time)
    return min(ordered[max(0, at - 1) : at + 1], key=lambda each: abs(each - time))


def _holes(kind: str, samples: Sequence[Timed], frame: float) -> Iterator[str]:
    """Tell where decode times go backwards, or leave out more than a frame: there a browser stops or jumps."""
    for before, after in pairwise(samples):
        gap = after.decoded - before.decoded - before.lasts
        if after.decoded < before.decoded or abs(gap) > frame:
            yield f"behind the {_NAMES[kind]} decoded at {float(before.decoded):.3f} s there is a gap of {_ms(gap)}"


def _presented(track: Track, movie: Movie) -> Iterator[Timed]:
    """Yield a track's samples as its edit list has them: moved by empty edits, and by where its media begins."""
    shift = Fraction()
    for edit in track.edits:
        if edit.media_time is not None:
            shift -= Fraction(edit.media_time, track.timescale)
            break
        shift += Fraction(edit.duration, movie.timescale)
    for sample in track.samples():
        yield _timed(sample, track.timescale, shift)


def _raw(movie: Movie, segment: Path) -> dict[str, list[Timed]]:
    found: dict[str, list[Timed]] = {}
    for fragment in boxes.fragments(movie, segment):
        track = fragment.track
        samples = [_timed(sample, track.timescale, Fraction()) for sample in fragment.samples]
        if samples:
            found.setdefault(track.handler, []).extend(samples)
    return found


def _timed(sample: boxes.Sample, timescale: int, shift: Fraction) -> Timed:
    return Timed(
        decoded=Fraction(sample.decode_time, timescale) + shift,
        shown=Fraction(sample.presentation_time, timescale) + shift,
        lasts=Fraction(sample.duration, timescale),
        size=sample.size,
        keyframe=sample.keyframe,
    )


def _ms(seconds: Fraction) -> str:
    return f"{float(seconds) * 1000:+.1f} ms"
