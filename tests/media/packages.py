"""What the plugin makes of a source with one version of ffmpeg, each made once in a run of tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import anyio

from tests.media.chunked_packages import transcoded_in_chunks
from tests.media.ffmpegs import Ffmpeg, any_installed
from tests.media.playlists import Master, read_master
from tests.media.sources import SOURCES, Source
from tests.transcode.transcode_bench import Desk
from workers.transcode import TranscodeResult

# Two renditions, for a player to change between. The preset is the fastest that uses pictures out of order, as the
# default does; segments are short, so that there are several of each short clip.
LADDER = (180, 120)
# A busy machine may take long over anything.
_SETTINGS = {"preset": "veryfast", "segment_seconds": 2.0, "stall_timeout": 240.0}


@dataclass(frozen=True, slots=True)
class Package:
    """The outputs of one job, in `folder`, and the source they were made of."""

    source: Source
    source_file: Path
    folder: Path
    result: TranscodeResult

    def master(self) -> Master:
        """Return what the master playlist leads to."""
        return read_master(self.folder / "hls" / "master.m3u8")


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a source became nothing."""

    reason: str


class Workshop:
    """Makes sources and packages when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[tuple[str, str], Package | Failed] = {}

    def source(self, source: Source) -> Path:
        """Return the file of a source."""
        return self.made(source.name, source.suffix, source.make)

    def made(self, name: str, suffix: str, make: Callable[[Ffmpeg, Path], None]) -> Path:
        """Return the file that `make` writes, in a folder of its own; it is the same whatever will transcode it."""
        path = self._folder / "sources" / name / f"{name}{suffix}"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_name(f"unfinished{suffix}")
            make(any_installed(), unfinished)
            unfinished.rename(path)
        return path

    def package(self, name: str, ffmpeg: Ffmpeg) -> Package:
        """Return what a source of `SOURCES` became. Raises `AssertionError` with the reason where it failed."""
        key = (name, ffmpeg.name)
        if key not in self._made:
            self._made[key] = self._transcoded(SOURCES[name], ffmpeg)
        made = self._made[key]
        assert isinstance(made, Package), f"{name} was not transcoded: {made.reason}"
        return made

    def chunked(self, name: str, ffmpeg: Ffmpeg) -> Package:
        """Return what a source of `SOURCES` became in chunks."""
        source, folder = SOURCES[name], self._folder / ffmpeg.name / f"{name}-in-chunks"
        made, result = transcoded_in_chunks(self.source(source), folder, ffmpeg, ladder=LADDER)
        return Package(source, self.source(source), made, result)

    def encrypted(self, name: str, ffmpeg: Ffmpeg, encryption: str, key_source: str) -> Package:
        """Return what a source of `SOURCES` became, encrypted with a key of `key_source`."""
        source, folder = SOURCES[name], self._folder / ffmpeg.name / f"{name}-{encryption}"
        made, result = transcoded(
            self.source(source), folder, ffmpeg, settings={"encryption": encryption, "key_source": key_source}
        )
        return Package(source, self.source(source), made, result)

    def in_opus(self, name: str, ffmpeg: Ffmpeg) -> Package:
        """Return what a source of `SOURCES` became with Opus beside AAC, in manifests that name Opus alone.

        A player would choose by itself which of them it plays.
        """
        source, folder = SOURCES[name], self._folder / ffmpeg.name / f"{name}-in-opus"
        profiles = self._folder / "opus.toml"
        profiles.write_text('[[profiles.opus.audio]]\n[[profiles.opus.audio]]\ncodec = "opus"\n')
        settings = {"profiles": profiles, "profile": "opus"}
        made, result = transcoded(self.source(source), folder, ffmpeg, settings=settings)
        without_aac(made / "hls")
        return Package(source, self.source(source), made, result)

    def _transcoded(self, source: Source, ffmpeg: Ffmpeg) -> Package | Failed:
        file = self.source(source)
        try:
            folder, result = transcoded(file, self._folder / ffmpeg.name / source.name, ffmpeg)
        except Exception as error:  # noqa: BLE001  # told by every test that asks for it, not only by the first
            return Failed(f"{type(error).__name__}: {error}")
        return Package(source, file, folder, result)


def without_aac(package: Path) -> None:
    """Have the manifests of a package name no sound of AAC."""
    master, manifest = package / "master.m3u8", package / "manifest.mpd"
    of_aac = r'^#EXT-X-MEDIA:.*GROUP-ID="sound",.*\n|^#EXT-X-STREAM-INF:.*AUDIO="sound"(?:,.*)?\n.*\n'
    master.write_text(re.sub(of_aac, "", master.read_text(), flags=re.MULTILINE))
    sets = r' *<AdaptationSet (?:(?!</AdaptationSet>).)*codecs="mp4a.*?</AdaptationSet>\n'
    manifest.write_text(re.sub(sets, "", manifest.read_text(), flags=re.DOTALL))
    for file in (master, manifest):
        assert "mp4a" not in file.read_text()
        assert "opus" in file.read_text()


def transcoded(
    file: Path,
    folder: Path,
    ffmpeg: Ffmpeg,
    *,
    ladder: tuple[int, ...] = LADDER,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Path, TranscodeResult]:
    """Run the plugin over a file, with more settings; return the folder of its outputs, and its result."""
    folder.mkdir(parents=True)
    desk = Desk(folder)
    desk.settings |= _SETTINGS | {"ffmpeg": str(ffmpeg.program)} | settings

    async def run() -> TranscodeResult:
        # Posters are none of these tests' business, and the best of several takes one more run of ffmpeg.
        return await desk.run(desk.place(file), ladder=ladder, poster_at=timedelta(0))

    return desk.blobs, anyio.run(run)
