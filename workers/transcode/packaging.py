"""Cuts the finished renditions into segments, and names them in an HLS master playlist and a DASH manifest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from workers.transcode import dash, hls, progress, verify
from workers.transcode.bench import Bench
from workers.transcode.child import child_command
from workers.transcode.errors import OutputInvalid, OutputUnfit, PackagingFailed
from workers.transcode.media import AudioTrack, Media
from workers.transcode.plan import (
    DASH_MANIFEST,
    HLS_DIRECTORY,
    HLS_MASTER,
    SOUND_FOLDER,
    Plan,
    package_folder,
    playlist_file,
    rendition_file,
    sound_folder,
)

_SOUND_GROUP = "sound"
_MIN_BUFFERS = 1.0


@dataclass(frozen=True, slots=True)
class Playlists:
    """The media playlists of a package: pictures in the order of the plan's rungs, and the sound, if there is one."""

    pictures: tuple[hls.MediaPlaylist, ...]
    sound: hls.MediaPlaylist | None


async def package(bench: Bench, plan: Plan) -> None:
    """Cut the renditions into segments. Raises `PackagingFailed`, `OutputUnfit`, or what `Supervisor.run` raises."""
    tracks = [_task(rendition_file(rung), "vide", package_folder(rung)) for rung in plan.rungs]
    if plan.sound is not None:
        tracks.append(_task(rendition_file(plan.rungs[0]), "soun", sound_folder()))
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
        raise OutputUnfit(f"the renditions cannot be cut into segments: {answer['malformed']}; {verify.WHAT_TO_DO}")
    if finished.code != 0 or "done" not in answer:
        said = answer.get("failed") or finished.stderr[-1000:] or "it gave no reason"
        raise PackagingFailed(f"the packaging process ended with code {finished.code}: {said}")


def read_playlists(plan: Plan, directory: Path) -> Playlists:
    """Return the media playlists. Raises `OutputInvalid` where one is not whole, or names a file that is not there."""
    pictures = [_read(directory, playlist_file(rung)) for rung in plan.rungs]
    sound = None if plan.sound is None else _read(directory, f"{sound_folder()}/{hls.INDEX_FILE}")
    return Playlists(tuple(pictures), sound)


def write_manifests(plan: Plan, renditions: Sequence[Media], playlists: Playlists, directory: Path) -> None:
    """Write the master playlist and the DASH manifest. Raises `OutputInvalid` where they cannot be read as written."""
    sound = renditions[0].audio
    written = _master(plan, renditions, playlists, sound, directory)
    master = directory / HLS_MASTER
    master.write_text(hls.master_playlist(written))
    read = hls.parse_master_playlist(master.read_text())
    wrong = verify.master_problems(read, written) + verify.missing_files(directory, HLS_MASTER, read.files())
    if wrong:
        raise OutputInvalid(f"outputs are not as planned: {HLS_MASTER}: {'; '.join(wrong)}")
    text = _manifest(plan, renditions, playlists, sound, directory)
    (directory / DASH_MANIFEST).write_text(text)


def codecs(rendition: Media) -> str:
    """Return what goes into the MIME type of a rendition's MP4 file."""
    return hls.codecs(rendition.video.profile or "", has_audio=rendition.audio is not None)


def _task(file: str, handler: str, folder: str) -> dict[str, str]:
    return {"file": file, "handler": handler, "folder": folder, "language": "und"}


def _read(directory: Path, name: str) -> hls.MediaPlaylist:
    try:
        playlist = hls.parse_media_playlist((directory / name).read_text())
    except (ValueError, FileNotFoundError) as error:
        raise OutputInvalid(f"outputs are not as planned: {name}: {error}") from error
    wrong = verify.missing_files(directory, name, playlist.files())
    if wrong:
        raise OutputInvalid(f"outputs are not as planned: {name}: {'; '.join(wrong)}")
    return playlist


def _bandwidths(directory: Path, folder: str, playlist: hls.MediaPlaylist) -> tuple[int, int]:
    sizes = [(directory / folder / segment.uri).stat().st_size for segment in playlist.segments]
    return hls.bandwidths(playlist, sizes)


def _master(
    plan: Plan, renditions: Sequence[Media], playlists: Playlists, sound: AudioTrack | None, directory: Path
) -> hls.Master:
    group, of_sound = None, (0, 0)
    alternatives: list[hls.Alternative] = []
    audio_only: list[hls.Variant] = []
    if sound is not None and playlists.sound is not None:
        group, of_sound = _SOUND_GROUP, _bandwidths(directory, sound_folder(), playlists.sound)
        uri = f"{SOUND_FOLDER}/{hls.INDEX_FILE}"
        alternatives.append(hls.Alternative("AUDIO", group, "Sound", uri, None, sound.channels, default=True))
        audio_only.append(hls.Variant(uri, *of_sound, hls.AAC_LC, None, None, group))
    variants: list[hls.Variant] = []
    pictures: list[hls.KeyPictures] = []
    for rung, rendition, playlist in zip(plan.rungs, renditions, playlists.pictures, strict=True):
        video = rendition.video
        peak, average = _bandwidths(directory, package_folder(rung), playlist)
        variants.append(
            hls.Variant(
                uri=f"{rung.name}/{hls.INDEX_FILE}",
                bandwidth=peak + of_sound[0],
                average_bandwidth=average + of_sound[1],
                codecs=codecs(rendition),
                size=video.shown,
                frame_rate=round(video.highest_rate, 3),
                sound=group,
            )
        )
        uri = f"{rung.name}/{hls.IFRAMES_FILE}"
        found = hls.parse_byte_ranges((directory / HLS_DIRECTORY / uri).read_text())
        most = hls.bandwidths(playlist, [each.length for each in found])[0]
        pictures.append(hls.KeyPictures(uri, most, hls.codecs(video.profile or "", has_audio=False), video.shown))
    return hls.Master((*variants, *audio_only), tuple(pictures), tuple(alternatives))


def _manifest(
    plan: Plan, renditions: Sequence[Media], playlists: Playlists, sound: AudioTrack | None, directory: Path
) -> str:
    pictures = [
        dash.Pictures(
            folder=PurePosixPath(package_folder(rung)).name,
            bandwidth=_bandwidths(directory, package_folder(rung), playlist)[0],
            codecs=hls.codecs(rendition.video.profile or "", has_audio=False),
            size=rendition.video.shown,
            frame_rate=rendition.video.highest_rate,
        )
        for rung, rendition, playlist in zip(plan.rungs, renditions, playlists.pictures, strict=True)
    ]
    sounds = []
    if sound is not None and playlists.sound is not None:
        durations = tuple(segment.duration for segment in playlists.sound.segments)
        peak = _bandwidths(directory, sound_folder(), playlists.sound)[0]
        sounds.append(dash.Sound(SOUND_FOLDER, peak, hls.AAC_LC, sound.channels, sound.sample_rate, None, durations))
    durations = tuple(segment.duration for segment in playlists.pictures[0].segments)
    return dash.manifest(pictures, durations, sounds, _MIN_BUFFERS * playlists.pictures[0].target)
