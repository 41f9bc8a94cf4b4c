"""Does an encoder work on this machine, and does it keep to what it is asked for? Found out by encoding a second.

The same goes for what else only some builds of ffmpeg have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from anyio import to_thread

from workers.transcode import boxes
from workers.transcode.asking import ask
from workers.transcode.box_reader import MalformedMp4
from workers.transcode.codecs import codec_string
from workers.transcode.encoders import Coding
from workers.transcode.finished import track_description
from workers.transcode.settings import TranscodeSettings
from workers.transcode.sound_codecs import DEFAULT_CHANNEL_BITRATE, SoundCodec, SoundCoding
from workers.transcode.vmaf import vmaf_filter

_FILE = "trial.mp4"
_SIZE, _RATE, _PICTURES, _KEYFRAMES = "640x360", 25, 25, (0, 15)
_MAX_BITRATE = 500_000
_WORDS = 200
_OPUS = SoundCoding(SoundCodec.OPUS, DEFAULT_CHANNEL_BITRATE[SoundCodec.OPUS])


class Tool(StrEnum):
    """What else only some builds of ffmpeg have."""

    OPUS = "libopus"
    VMAF = "libvmaf"


_TOOL_ARGUMENTS = {
    Tool.OPUS: ("-f", "lavfi", "-i", "sine=duration=0.1", *_OPUS.arguments(1), "-f", "mp4", f"file:{_FILE}"),
    Tool.VMAF: (
        *("-f", "lavfi", "-i", f"testsrc2=size={_SIZE}:rate={_RATE}:duration=0.1", "-filter_complex"),
        *(f"format=yuv420p,split[a][b];[a][b]{vmaf_filter('vmaf.json')}", "-f", "null", "-"),
    ),
}


async def trial_problem(binary: Path, coding: Coding, settings: TranscodeSettings) -> str | None:
    """Return why a way of coding cannot be used here, None where it can."""
    arguments = _arguments(coding, settings.threads)
    return await _tried(binary, arguments, settings, lambda folder: _judged(folder / _FILE, coding))


async def tool_problem(binary: Path, tool: Tool, settings: TranscodeSettings) -> str | None:
    """Return why something cannot be used here, None where it can."""
    return await _tried(binary, _TOOL_ARGUMENTS[tool], settings, lambda _: None)


async def _tried(
    binary: Path, arguments: Sequence[str], settings: TranscodeSettings, judge: Callable[[Path], str | None]
) -> str | None:
    """Return what is wrong with ffmpeg's own end, or with what it wrote into a folder of its own."""
    folder = await to_thread.run_sync(lambda: TemporaryDirectory(prefix="jobkit-trial-"))
    try:
        command = [str(binary), "-nostdin", "-hide_banner", "-v", "error", "-y", *arguments]
        code, said = await ask(command, settings, cwd=Path(folder.name))
        if code != 0:
            # Of what ffmpeg says the first line is the cause, the others are what came of it.
            return said.splitlines()[0][-_WORDS:] if said else f"it ended with code {code} and said nothing"
        return await to_thread.run_sync(judge, Path(folder.name))
    finally:
        await to_thread.run_sync(folder.cleanup)


def _arguments(coding: Coding, threads: int) -> list[str]:
    encoder = coding.encoder
    filters = [f"format={encoder.formats[coding.hdr]}", *([encoder.upload] if encoder.upload else [])]
    return [
        *encoder.setup,
        *("-f", "lavfi", "-i", f"testsrc2=size={_SIZE}:rate={_RATE}", "-frames:v", str(_PICTURES)),
        *("-vf", ",".join(filters), *coding.arguments(_MAX_BITRATE, threads)),
        *("-force_key_frames", ",".join(f"{number / _RATE:g}" for number in _KEYFRAMES), "-g", "100000"),
        *("-f", "mp4", f"file:{_FILE}"),
    ]


def _judged(path: Path, coding: Coding) -> str | None:
    try:
        track = boxes.read(path).track("vide")
        description = track_description(path, "vide")
        if track is None or description is None:
            return "it wrote no pictures"
        codec_string(description)
        shown = sorted(track.samples(), key=lambda sample: sample.presentation_time)
    except (MalformedMp4, OSError) as error:
        return str(error)
    keyframes = tuple(number for number, sample in enumerate(shown) if sample.keyframe)
    if len(shown) != _PICTURES:
        return f"it wrote {len(shown)} of {_PICTURES} pictures"
    if keyframes != _KEYFRAMES:
        return f"its keyframes are pictures {keyframes}, where {_KEYFRAMES} were asked for ({coding.encoder.name})"
    return None
