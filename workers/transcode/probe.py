"""Asks what a media file is, of a process that may crash, hang or run out of memory without harm to the worker.

Which of the answers make a source unusable is decided here as well, by plain functions.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jobkit import Reject
from workers.transcode.child import child_command
from workers.transcode.errors import ProbeFailed
from workers.transcode.ladder import LONGEST_SIDE
from workers.transcode.media import Media, SoundFile
from workers.transcode.process import Supervisor
from workers.transcode.settings import TranscodeSettings

# Containers that hold their media themselves. Playlists and scripts (HLS, DASH, concat, image sequences, ...) are
# left out: they name other files, which would be read with the worker's rights.
SOURCE_FORMATS = "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,mxf,dv,ivf,rm,gif,apng,mp3,wav,flac,aac"

# A header may be a little off; beyond this, what it promised is missing.
_MISSING_SECONDS = 1.0
_MISSING_SHARE = 0.01

_REASONS = {
    "not-media": "it is not a media file of a kind that is taken here "
    "(MP4, MOV, MKV, WebM, AVI, MPEG, FLV, WMV, OGG, MXF, DV, IVF, RM, GIF, APNG)",
    "missing": "it is not there",
    "no-index": "it begins like an MP4 file, but its index (moov) is missing or broken: the file is incomplete",
    "no-video": "it has no video, only sound",
    "only-cover-art": "it has no video, only sound and a cover picture",
    "unknown-video-codec": "its video is coded in a way that cannot be decoded here",
    "unknown-audio-codec": "its sound is coded in a way that cannot be decoded here",
    "cut-short": "it is cut short: its index names data behind the end of the file",
    "no-picture": "no picture of its video can be decoded",
}


@dataclass(frozen=True, slots=True)
class ProbeTask:
    """One file to look into: which formats it may have, and whether to decode all of it, strictly.

    `packages` are folders of segments, by handler (`vide`, `soun`), that must play as the file does. The answer to one
    that is `sound_only` is a `SoundFile`. Pictures are counted in each `cell_seconds`, unless that is 0. A `digest` of
    the pictures is made where it is asked for; where they are `known` by one, only the first of them is decoded.
    """

    path: str
    formats: str
    decode: bool
    threads: int
    packages: Mapping[str, str] = field(default_factory=dict)
    sound_only: bool = False
    cell_seconds: float = 0.0
    digest: bool = False
    known: bool = False


@dataclass(frozen=True, slots=True)
class Unusable:
    """The probing process could open the file or make sense of it no further; `problem` is one of its words."""

    problem: str


def probe_command(arguments: Sequence[str]) -> list[str]:
    """Return the command line of the probing process."""
    # By name: importing it would bring PyAV into the worker.
    return child_command("probe_child", arguments)


async def probe(
    supervisor: Supervisor,
    tasks: Sequence[ProbeTask],
    *,
    cwd: Path,
    pass_fds: Sequence[int] = (),
    on_position: Callable[[int, float], Awaitable[None]] | None = None,
) -> list[Media | SoundFile | Unusable]:
    """Return what each file is. `on_position` is told how many are done, and how far the next is, in seconds.

    Raises `ProbeFailed`, or what `Supervisor.run` raises.
    """
    answers: list[Media | SoundFile | Unusable] = []
    position = 0.0

    def on_line(line: str) -> bool:
        nonlocal position
        answer = _parsed(line)
        position = answer if isinstance(answer, float) else 0.0
        if not isinstance(answer, float):
            answers.append(answer)
        return True

    async def on_progress() -> None:
        if on_position is not None:
            await on_position(len(answers), position)

    finished = await supervisor.run(
        probe_command([json.dumps([asdict(task) for task in tasks])]),
        cwd=cwd,
        name="the probing process",
        on_line=on_line,
        on_progress=on_progress,
        pass_fds=pass_fds,
    )
    if finished.code != 0 or len(answers) != len(tasks):
        raise ProbeFailed(f"the probing process ended with code {finished.code}: {finished.stderr[-1000:]}")
    return answers


def usable_source(found: Media | SoundFile | Unusable, settings: TranscodeSettings) -> Media:
    """Return the facts of a source that can be transcoded. Raises `Reject` saying why it cannot."""
    if isinstance(found, Unusable):
        raise Reject(f"the source cannot be transcoded: {_REASONS.get(found.problem, found.problem)}")
    if isinstance(found, SoundFile):
        raise ProbeFailed("the probing process told of a sound, where a video was asked for")
    reason = _refusal(found, settings)
    if reason is not None:
        raise Reject(f"the source cannot be transcoded: {reason}")
    return found


def _refusal(media: Media, settings: TranscodeSettings) -> str | None:
    video = media.video
    if media.declared is not None:
        missing = media.declared - (media.end - min(media.start, 0.0))
        if _is_cut(media, missing):
            return (
                f"it is cut short: it should last {media.declared:.2f} s, but its last {missing:.2f} s cannot be read"
            )
    if media.duration > settings.max_duration:
        limit = f"{settings.max_duration:g} s that JOBKIT_TRANSCODE_MAX_DURATION allows"
        return f"it lasts {media.duration:.0f} s, longer than the {limit}"
    if video.width * video.height > settings.max_pixels:
        limit = f"{settings.max_pixels} pixels that JOBKIT_TRANSCODE_MAX_PIXELS allows"
        return f"its pictures are {video.width}x{video.height}, more than the {limit}"
    if video.shown.long > LONGEST_SIDE:
        return f"it is shown at {video.shown.width}x{video.shown.height}; no side may exceed {LONGEST_SIDE}"
    return None


def _is_cut(media: Media, missing: float) -> bool:
    # Only these write into their header how long the whole is; for others the number is a guess.
    trusted = any(name in media.container for name in ("mov", "matroska"))
    declared = media.declared or 0.0
    return trusted and missing > max(_MISSING_SECONDS, declared * _MISSING_SHARE)


def _parsed(line: str) -> float | Media | SoundFile | Unusable:
    """Return what a line of the probing process says: how far it is, or its answer. Raises `ProbeFailed`."""
    try:
        answer: dict[str, Any] = json.loads(line)
        if "beat" in answer:
            return float(answer["beat"])
        if "problem" in answer:
            return Unusable(str(answer["problem"])[:200])
        model = Media if "video" in answer["facts"] else SoundFile
        return model.model_validate(answer["facts"])
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise ProbeFailed(f"the probing process said something that is no answer: {line[:200]!r}") from error
