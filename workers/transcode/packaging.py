"""Cuts the finished renditions into segments, and names them in an HLS master playlist and a DASH manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from workers.transcode import dash, hls, progress
from workers.transcode.child import child_command
from workers.transcode.content_key import KeyRequest
from workers.transcode.errors import OutputInvalid, OutputUnfit, PackagingFailed
from workers.transcode.filters import video_range
from workers.transcode.job_tools import Bench
from workers.transcode.languages import distinct_names
from workers.transcode.media import Media
from workers.transcode.output_problems import WHAT_TO_DO, master_problems, missing_files
from workers.transcode.plan import (
    DASH_MANIFEST,
    HLS_DIRECTORY,
    HLS_MASTER,
    TranscodePlan,
    package_folder,
    playlist_file,
    rendition_file,
    sound_folder,
)
from workers.transcode.sound_codecs import SAMPLE_RATE, SoundCodec
from workers.transcode.subtitles import TEXT_FILE, cue_count, text_playlist

_TEXT_GROUP = "text"
_MIN_BUFFERS = 1.0


@dataclass(frozen=True, slots=True)
class SoundPlaylist:
    """One sound of a package: its folder beside the master playlist, its language and name, and its playlist.

    The `main` one is what players begin with.
    """

    folder: str
    language: str | None
    name: str
    channels: int
    codec: SoundCodec
    main: bool
    playlist: hls.MediaPlaylist

    @property
    def group(self) -> str:
        """The group that it is in: all sounds of one format are."""
        return "sound" if self.codec is SoundCodec.AAC else f"sound-{self.codec}"


@dataclass(frozen=True, slots=True)
class TextPlaylist:
    """One text of a package: its folder beside the master playlist, and what players are told of it."""

    folder: str
    language: str | None
    name: str
    default: bool
    forced: bool


@dataclass(frozen=True, slots=True)
class Playlists:
    """The playlists of a package: pictures in the order of the plan's rungs, sounds by format, the main one first."""

    pictures: tuple[hls.MediaPlaylist, ...]
    sounds: tuple[SoundPlaylist, ...]
    texts: tuple[TextPlaylist, ...]


async def package(bench: Bench, plan: TranscodePlan) -> None:
    """Cut the renditions into segments. Raises `PackagingFailed`, `OutputUnfit`, or what `Supervisor.run` raises."""
    tracks = [_task(rendition_file(rung), "vide", package_folder(rung)) for rung in plan.rungs]
    if plan.sound is not None:
        tracks.append(_task(rendition_file(plan.rungs[0]), "soun", sound_folder(), plan.language))
    tracks += [_task(sound.file, "soun", sound.folder, sound.language) for sound in plan.other_sounds]
    answers: list[dict[str, Any]] = [{}]

    def on_line(line: str) -> bool:
        try:
            answers.append(dict(json.loads(line)))
        except ValueError as error:
            raise PackagingFailed(f"the packaging process said something that is no answer: {line[:200]!r}") from error
        return True

    async def on_progress() -> None:
        await bench.report(progress.PACKAGE, answers[-1].get("beat", 0.0) / len(tracks))

    order = json.dumps({"seconds": bench.settings.segment_seconds, "tracks": tracks})
    finished = await bench.supervisor.run(
        child_command("package_child", [order]),
        cwd=bench.directory,
        name="the packaging process",
        on_line=on_line,
        on_progress=on_progress,
    )
    answer = answers[-1]
    if "malformed" in answer:
        raise OutputUnfit(f"the renditions cannot be cut into segments: {answer['malformed']}; {WHAT_TO_DO}")
    if finished.code != 0 or "done" not in answer:
        said = answer.get("failed") or finished.stderr[-1000:] or "it gave no reason"
        raise PackagingFailed(f"the packaging process ended with code {finished.code}: {said}")


def read_playlists(plan: TranscodePlan, directory: Path) -> Playlists:
    """Return the media playlists. Raises `OutputInvalid` where one is not whole, or names a file that is not there."""
    pictures = [_read(directory, playlist_file(rung)) for rung in plan.rungs]
    return Playlists(tuple(pictures), tuple(_sounds(plan, directory)), tuple(_write_texts(plan, directory)))


def _sounds(plan: TranscodePlan, directory: Path) -> Iterator[SoundPlaylist]:
    for codec, listed in listed_sounds(plan).items():
        names = distinct_names([language for _, language, _ in listed], "Sound")
        for name, (folder, language, channels) in zip(names, listed, strict=True):
            playlist = _read(directory, f"{folder}/{hls.INDEX_FILE}")
            main = name == names[0]
            yield SoundPlaylist(PurePosixPath(folder).name, language, name, channels, codec, main, playlist)


def _write_texts(plan: TranscodePlan, directory: Path) -> Iterator[TextPlaylist]:
    """Write the playlists of the texts that say anything. Raises `OutputInvalid` where one is no WebVTT."""
    names = distinct_names([text.language for text in plan.texts], "Text")
    for name, text in zip(names, plan.texts, strict=True):
        file = directory / text.file
        try:
            if not cue_count(file):
                continue
        except (ValueError, FileNotFoundError) as error:
            raise OutputInvalid(f"outputs are not as planned: {text.file}: {error}") from error
        folder = directory / text.folder
        folder.mkdir()
        file.rename(folder / TEXT_FILE)
        (folder / hls.INDEX_FILE).write_text(text_playlist(plan.duration))
        yield TextPlaylist(folder.name, text.language, name, text.default, text.forced)


def write_manifests(
    plan: TranscodePlan,
    renditions: Sequence[Media],
    playlists: Playlists,
    directory: Path,
    key: KeyRequest | None = None,
) -> None:
    """Write the master playlist and the DASH manifest; there is none of segments that are encrypted as a whole.

    Raises `OutputInvalid` where they cannot be read as written.
    """
    written = _master(plan, renditions, playlists, directory, key_pictures=key is None)
    master = directory / HLS_MASTER
    master.write_text(hls.master_playlist(written))
    read = hls.parse_master_playlist(master.read_text())
    wrong = master_problems(read, written) + missing_files(directory, HLS_MASTER, read.files())
    if wrong:
        raise OutputInvalid(f"outputs are not as planned: {HLS_MASTER}: {'; '.join(wrong)}")
    if key is None or key.in_dash:
        (directory / DASH_MANIFEST).write_text(_manifest(plan, renditions, playlists, directory, key))


def codecs(rendition: Media) -> str:
    """Return what goes into the MIME type of a rendition's MP4 file."""
    return hls.codecs(
        rendition.video.told or "", None if rendition.audio is None else SoundCodec(rendition.audio.codec)
    )


def _task(file: str, handler: str, folder: str, language: str | None = None) -> dict[str, str]:
    return {"file": file, "handler": handler, "folder": folder, "language": language or "und"}


def listed_sounds(plan: TranscodePlan) -> dict[SoundCodec, list[tuple[str, str | None, int]]]:
    """Return the folder, the language and the channels of each sound of a package by format, the main one first."""
    listed: dict[SoundCodec, list[tuple[str, str | None, int]]] = {}
    if plan.sound is not None:
        listed[plan.sound_coding.codec] = [(sound_folder(), plan.language, plan.sound.channels)]
    for sound in plan.other_sounds:
        listed.setdefault(sound.coding.codec, []).append((sound.folder, sound.language, sound.chain.channels))
    return listed


def _read(directory: Path, name: str) -> hls.MediaPlaylist:
    try:
        playlist = hls.parse_media_playlist((directory / name).read_text())
    except (ValueError, FileNotFoundError) as error:
        raise OutputInvalid(f"outputs are not as planned: {name}: {error}") from error
    wrong = missing_files(directory, name, playlist.files())
    if wrong:
        raise OutputInvalid(f"outputs are not as planned: {name}: {'; '.join(wrong)}")
    return playlist


def _bandwidths(directory: Path, folder: str, playlist: hls.MediaPlaylist) -> tuple[int, int]:
    sizes = [(directory / folder / segment.uri).stat().st_size for segment in playlist.segments]
    return hls.bandwidths(playlist, sizes)


def _alternatives(playlists: Playlists) -> Iterator[hls.Alternative]:
    for sound in playlists.sounds:
        uri = f"{sound.folder}/{hls.INDEX_FILE}"
        yield hls.Alternative("AUDIO", sound.group, sound.name, uri, sound.language, sound.channels, default=sound.main)
    # A group has one default at most.
    default = next((text for text in playlists.texts if text.default), None)
    for text in playlists.texts:
        uri = f"{text.folder}/{hls.INDEX_FILE}"
        yield hls.Alternative(
            "SUBTITLES", _TEXT_GROUP, text.name, uri, text.language, None, default=text is default, forced=text.forced
        )


def _master(
    plan: TranscodePlan, renditions: Sequence[Media], playlists: Playlists, directory: Path, *, key_pictures: bool
) -> hls.Master:
    pictures: list[hls.KeyPictures] = []
    shown = zip(plan.rungs, renditions, playlists.pictures, strict=True) if key_pictures else ()
    for rung, rendition, playlist in shown:
        video, uri = rendition.video, f"{rung.name}/{hls.IFRAMES_FILE}"
        found = hls.parse_byte_ranges((directory / HLS_DIRECTORY / uri).read_text())
        most = hls.bandwidths(playlist, [each.length for each in found])[0]
        pictures.append(hls.KeyPictures(uri, most, video.told or "", video.shown, video_range(video.colour)))
    # Each rendition is there with each format of sound: a player leaves out what it cannot play.
    mains: list[SoundPlaylist | None] = [each for each in playlists.sounds if each.main]
    variants = [
        variant for main in mains or [None] for variant in _variants(plan, renditions, playlists, directory, main)
    ]
    return hls.Master(tuple(variants), tuple(pictures), tuple(_alternatives(playlists)))


def _variants(
    plan: TranscodePlan,
    renditions: Sequence[Media],
    playlists: Playlists,
    directory: Path,
    main: SoundPlaylist | None,
) -> Iterator[hls.Variant]:
    """Yield the renditions with the sounds of a group, and those alone."""
    group = None if main is None else main.group
    codec = None if main is None else main.codec
    sounds = [each for each in playlists.sounds if each.group == group]
    measured = [_bandwidths(directory, f"{HLS_DIRECTORY}/{each.folder}", each.playlist) for each in sounds]
    of_sound = max(measured, default=(0, 0))
    for rung, rendition, playlist in zip(plan.rungs, renditions, playlists.pictures, strict=True):
        video = rendition.video
        peak, average = _bandwidths(directory, package_folder(rung), playlist)
        yield hls.Variant(
            uri=f"{rung.name}/{hls.INDEX_FILE}",
            bandwidth=peak + of_sound[0],
            average_bandwidth=average + of_sound[1],
            codecs=hls.codecs(video.told or "", codec),
            size=video.shown,
            frame_rate=round(video.highest_rate, 3),
            sound=group,
            video_range=video_range(video.colour),
        )
    if main is not None:
        yield hls.Variant(f"{main.folder}/{hls.INDEX_FILE}", *of_sound, main.codec.told, None, None, group)


def _manifest(
    plan: TranscodePlan,
    renditions: Sequence[Media],
    playlists: Playlists,
    directory: Path,
    key: KeyRequest | None,
) -> str:
    pictures = [
        dash.Pictures(
            folder=PurePosixPath(package_folder(rung)).name,
            bandwidth=_bandwidths(directory, package_folder(rung), playlist)[0],
            codecs=rendition.video.told or "",
            transfer=rendition.video.colour.transfer,
            size=rendition.video.shown,
            frame_rate=rendition.video.highest_rate,
        )
        for rung, rendition, playlist in zip(plan.rungs, renditions, playlists.pictures, strict=True)
    ]
    sounds = [
        dash.Sound(
            folder=each.folder,
            bandwidth=_bandwidths(directory, f"{HLS_DIRECTORY}/{each.folder}", each.playlist)[0],
            codecs=each.codec.told,
            channels=each.channels,
            sample_rate=SAMPLE_RATE,
            language=each.language,
            durations=tuple(segment.duration for segment in each.playlist.segments),
            main=each.main,
        )
        for each in playlists.sounds
    ]
    texts = [dash.Text(f"{each.folder}/{TEXT_FILE}", each.language, each.forced) for each in playlists.texts]
    durations = tuple(segment.duration for segment in playlists.pictures[0].segments)
    protection = None if key is None else dash.Protection(key.encryption, key.key_id)
    return dash.manifest(pictures, durations, sounds, texts, _MIN_BUFFERS * playlists.pictures[0].target, protection)
