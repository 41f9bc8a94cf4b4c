"""What ffmpeg is to do, as values, and the arguments that say so. Pure: nothing here runs anything.

Arguments never contain anything of a payload: the source is an inherited file, outputs are named here and lie in
ffmpeg's working directory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from workers.transcode.ladder import Rung, choose_rungs
from workers.transcode.media import Media
from workers.transcode.probe import SOURCE_FORMATS
from workers.transcode.settings import TranscodeSettings

POSTER = "poster.jpg"
HLS_DIRECTORY = "hls"
HLS_MASTER = "hls/master.m3u8"

_SAMPLE_RATE = 48_000
_AUDIO_BITS_PER_CHANNEL = 80_000
# A frame rate may be a little over the limit without any frame to lose.
_FRAME_RATE_SLACK = 0.5
# Fine enough for every frame rate in use. Older versions of ffmpeg count in frames of the average rate, and would
# drop all but one of several pictures of a variable rate that fall into one of those.
_TIME_BASE = "1/90000"
_POSTER_MARGIN_SECONDS = 0.01

_QUIET = ("-nostdin", "-hide_banner", "-v", "error", "-nostats", "-progress", "pipe:1", "-stats_period", "0.5", "-y")


@dataclass(frozen=True, slots=True)
class TranscodePlan:
    """All that is decided before ffmpeg starts. Times are in seconds; `channels` is None where there is no sound."""

    rungs: tuple[Rung, ...]
    video_index: int
    audio_index: int | None
    channels: int | None
    interlaced: bool
    frame_rate_limit: float | None
    duration: float
    poster_at: float
    hls: bool


def make_plan(
    source: Media,
    settings: TranscodeSettings,
    *,
    ladder: Sequence[int] | None = None,
    hls: bool = True,
    poster_at: timedelta | None = None,
) -> TranscodePlan:
    """Decide what a source becomes."""
    video, audio = source.video, source.audio
    too_fast = video.frame_rate > settings.max_frame_rate + _FRAME_RATE_SLACK
    rate = min(video.frame_rate, settings.max_frame_rate)
    wanted = source.duration / 10 if poster_at is None else poster_at.total_seconds()
    last_picture = video.last - source.start
    return TranscodePlan(
        rungs=choose_rungs(video.shown, ladder or settings.ladder, rate),
        video_index=video.index,
        audio_index=None if audio is None else audio.index,
        channels=None if audio is None else max(1, min(2, audio.channels)),
        interlaced=video.interlaced,
        frame_rate_limit=settings.max_frame_rate if too_fast else None,
        duration=source.duration,
        poster_at=max(0.0, min(wanted, last_picture - _POSTER_MARGIN_SECONDS)),
        hls=hls,
    )


def rendition_file(rung: Rung) -> str:
    """Return the name of a rendition's MP4 file."""
    return f"{rung.name}.mp4"


def playlist_file(rung: Rung) -> str:
    """Return the name of a rendition's HLS media playlist."""
    return f"{HLS_DIRECTORY}/{rung.name}/index.m3u8"


def encode_arguments(plan: TranscodePlan, settings: TranscodeSettings, source: str) -> list[str]:
    """Return the arguments that decode `source` once and encode every rendition from it."""
    threads = str(settings.threads)
    arguments = [*_QUIET, "-filter_complex_threads", threads, "-threads", threads]
    arguments += ["-protocol_whitelist", "file", "-format_whitelist", SOURCE_FORMATS, "-i", source]
    arguments += ["-filter_complex", _filters(plan)]
    for number, rung in enumerate(plan.rungs):
        arguments += ["-map", f"[v{number}]", *_video_arguments(rung, settings)]
        if plan.audio_index is not None:
            arguments += ["-map", f"0:{plan.audio_index}", *_audio_arguments(plan.channels or 2)]
        # Metadata of a source can say where it was filmed, and by whom; none of it is passed on.
        arguments += ["-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact"]
        arguments += ["-max_muxing_queue_size", "4096", "-movflags", "+faststart"]
        arguments += ["-f", "mp4", f"file:{rendition_file(rung)}"]
    return arguments


def package_arguments(plan: TranscodePlan, settings: TranscodeSettings) -> list[str]:
    """Return the arguments that cut the finished renditions into HLS segments, without encoding anything again."""
    arguments = list(_QUIET)
    for rung in plan.rungs:
        arguments += ["-protocol_whitelist", "file", "-i", f"file:{rendition_file(rung)}"]
    for number, rung in enumerate(plan.rungs):
        folder = f"{HLS_DIRECTORY}/{rung.name}"
        arguments += ["-map", str(number), "-c", "copy", "-f", "hls", "-fflags", "+bitexact"]
        arguments += ["-hls_time", f"{settings.segment_seconds:g}", "-hls_list_size", "0"]
        arguments += ["-hls_playlist_type", "vod", "-hls_flags", "independent_segments"]
        arguments += ["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", "init.mp4"]
        arguments += ["-hls_segment_filename", f"{folder}/%05d.m4s", playlist_file(rung)]
    return arguments


def poster_arguments(plan: TranscodePlan) -> list[str]:
    """Return the arguments that take the poster from the largest rendition, which is upright and easy to seek in."""
    return [
        *_QUIET,
        *("-ss", f"{plan.poster_at:.3f}", "-protocol_whitelist", "file", "-i", f"file:{rendition_file(plan.rungs[0])}"),
        *("-map", "0:v:0", "-frames:v", "1", "-vf", "scale=out_range=full,format=yuvj420p"),
        *("-c:v", "mjpeg", "-q:v", "3", "-threads", "1", "-map_metadata", "-1", "-fflags", "+bitexact"),
        *("-flags:v", "+bitexact", "-f", "image2", "-update", "1", f"file:{POSTER}"),
    ]


def _filters(plan: TranscodePlan) -> str:
    """Return the filter graph; ffmpeg has turned pictures upright before they enter it."""
    first = []
    if plan.interlaced:
        first.append("bwdif=mode=send_frame:deint=interlaced")
    if plan.frame_rate_limit is not None:
        first.append(f"fps={plan.frame_rate_limit:g}")
    first.append(f"split={len(plan.rungs)}")
    graph = [f"[0:{plan.video_index}]{','.join(first)}" + "".join(f"[s{n}]" for n in range(len(plan.rungs)))]
    for number, rung in enumerate(plan.rungs):
        size = f"{rung.size.width}:{rung.size.height}"
        graph.append(f"[s{number}]scale={size}:out_range=limited,setsar=1,format=yuv420p[v{number}]")
    return ";".join(graph)


def _video_arguments(rung: Rung, settings: TranscodeSettings) -> list[str]:
    # Keyframes only where a segment starts, at the same times in every rendition: that lets a player switch.
    every = f"expr:gte(t,n_forced*{settings.segment_seconds:g})"
    return [
        *("-c:v", "libx264", "-preset", settings.preset, "-threads", str(settings.threads)),
        *("-crf", str(settings.crf), "-maxrate", str(rung.max_bitrate), "-bufsize", str(2 * rung.max_bitrate)),
        *("-force_key_frames", every, "-g", "100000", "-sc_threshold", "0"),
        *("-fps_mode", "vfr", "-enc_time_base:v", _TIME_BASE, "-flags:v", "+bitexact"),
    ]


def _audio_arguments(channels: int) -> list[str]:
    bits = str(_AUDIO_BITS_PER_CHANNEL * channels)
    # async=1 fills holes in the sound with silence, so that what follows them stays with its pictures.
    return [
        *("-c:a", "aac", "-b:a", bits, "-ac", str(channels), "-ar", str(_SAMPLE_RATE)),
        *("-af", "aresample=async=1", "-flags:a", "+bitexact"),
    ]
