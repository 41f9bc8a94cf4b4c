"""Reads HLS playlists as a player does, by means of its own: it shares nothing with what wrote them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)')


@dataclass(frozen=True, slots=True)
class Playlist:
    """One media playlist: its init segment, and each media segment with the seconds that it says."""

    path: Path
    init: Path
    segments: tuple[tuple[Path, Fraction], ...]

    @property
    def seconds(self) -> Fraction:
        """How long all segments say they last."""
        return sum((seconds for _, seconds in self.segments), Fraction())


@dataclass(frozen=True, slots=True)
class Variant:
    """One choice of a player: its main playlist, and that of its sound where that is a file of its own."""

    attributes: dict[str, str]
    main: Playlist
    sound: Playlist | None

    @property
    def playlists(self) -> tuple[Playlist, ...]:
        """All that a player loads for this variant."""
        return (self.main,) if self.sound is None else (self.main, self.sound)

    @property
    def name(self) -> str:
        """What its folder is called."""
        return self.main.path.parent.name


@dataclass(frozen=True, slots=True)
class Master:
    """The variants of a master playlist with pictures."""

    variants: tuple[Variant, ...]


def read_master(path: Path) -> Master:
    """Return what a master playlist leads to; I-frame playlists and variants of sound alone are left out."""
    lines = _lines(path)
    sounds = {
        attributes["GROUP-ID"]: attributes
        for attributes in _tagged(lines, "#EXT-X-MEDIA")
        if attributes["TYPE"] == "AUDIO" and attributes.get("DEFAULT", "YES") == "YES"
    }
    variants = []
    for tag, uri in pairwise(lines):
        if tag.startswith("#EXT-X-STREAM-INF:"):
            attributes = _attributes(tag)
            group = sounds.get(attributes.get("AUDIO", ""), {})
            sound = read_playlist(path.parent / group["URI"]) if "URI" in group else None
            if "RESOLUTION" in attributes:
                variants.append(Variant(attributes, read_playlist(path.parent / uri), sound))
    assert variants, f"{path} has no variants"
    return Master(tuple(variants))


def read_playlist(path: Path) -> Playlist:
    """Return a media playlist that has an end."""
    lines = _lines(path)
    assert lines[-1] == "#EXT-X-ENDLIST"
    (mapped,) = _tagged(lines, "#EXT-X-MAP")
    segments = []
    seconds = Fraction()
    for line in lines:
        if line.startswith("#EXTINF:"):
            seconds = Fraction(line.removeprefix("#EXTINF:").partition(",")[0])
        elif not line.startswith("#"):
            segments.append((path.parent / line, seconds))
    return Playlist(path, path.parent / mapped["URI"], tuple(segments))


def _lines(path: Path) -> list[str]:
    lines = path.read_text().split("\n")
    assert lines[0] == "#EXTM3U"
    return [line for line in lines if line]


def _tagged(lines: list[str], tag: str) -> Iterator[dict[str, str]]:
    return (_attributes(line) for line in lines if line.startswith(f"{tag}:"))


def _attributes(line: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in _ATTRIBUTE.findall(line.partition(":")[2])}
