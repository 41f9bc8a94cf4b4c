"""The arguments that tell ffmpeg what was planned. Pure: nothing here runs anything.

They never contain anything of a payload: the source is an inherited file, outputs are named here and lie in ffmpeg's
working directory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from workers.transcode.encoders import PLAIN_CODING
from workers.transcode.filters import SoundChain, kept_tags, picture_graph, sound_graph
from workers.transcode.ladder import Rung
from workers.transcode.plan import SOUND_FILE, TranscodePlan, rendition_file
from workers.transcode.probe import SOURCE_FORMATS
from workers.transcode.settings import TranscodeSettings
from workers.transcode.sound_codecs import SoundCoding
from workers.transcode.vmaf import vmaf_filter

# Fine enough for every frame rate in use. Older versions of ffmpeg count in frames of the average rate, and would
# drop all but one of several pictures of a variable rate that fall into one of those.
_TICKS = 90_000
_TIME_BASE = f"1/{_TICKS}"
# Versions differ in how short a delay they believe; the probing process believes what the file says.
_READING = {"gif": ("-min_delay", "1")}
_TAGS = ("colorspace", "color_primaries", "color_trc")
# Some filters lose how long a picture is shown, or give it in other units. Only the last picture's length matters, as
# for the others the next one tells: one of no length would not be shown at all.
_SHORTEST_TICKS, _USUAL_RATE = 90, 25.0
# Versions of ffmpeg differ by the encoder's delay of the sound in where a file begins.
_HELD_TOLERANCE_SECONDS = 0.03
_OFFSET_SECONDS = 0.001
# What VMAF is told in, by the number of the rendition.
VMAF_REPORT = "vmaf-{}.json"
# Pictures are compared one by one: times are rounded by encoding.
_COUNTED = "settb=1/1000,setpts=N"

_QUIET = ("-nostdin", "-hide_banner", "-v", "error", "-nostats", "-progress", "pipe:1", "-stats_period", "0.5", "-y")
# Metadata of a source can say where it was filmed, and by whom; none of it is passed on.
_NO_METADATA = ("-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact")


def encode_arguments(plan: TranscodePlan, settings: TranscodeSettings, source: str) -> list[str]:
    """Return the arguments that decode `source` once and encode every rendition from it."""
    arguments = _reading(plan, settings, source)
    if plan.rungs:
        arguments += ["-filter_complex", picture_graph(plan.picture, plan.video, plan.rungs)]
    for graph in _sound_graphs(plan):
        arguments += ["-filter_complex", graph]
    for number, rung in enumerate(plan.rungs):
        arguments += ["-map", f"[v{number}]", *_video_arguments(plan, rung, settings)]
        if plan.sound is not None:
            arguments += ["-map", f"[a{number}]", *plan.sound_coding.arguments(plan.sound.channels)]
        arguments += [*_NO_METADATA, "-max_muxing_queue_size", "4096", "-movflags", "+faststart"]
        if plan.picture.part is not None:
            # Its own are too coarse for when the first picture is shown.
            arguments += ["-movie_timescale", str(_TICKS)]
        arguments += ["-f", "mp4", f"file:{rendition_file(rung)}"]
    if plan.sound is not None and not plan.rungs:
        arguments += ["-map", "[a0]", *plan.sound_coding.arguments(plan.sound.channels)]
        arguments += [*_NO_METADATA, "-f", "mp4", f"file:{SOUND_FILE}"]
    for number, sound in enumerate(plan.other_sounds):
        arguments += ["-map", f"[{_other_label(number)}]", *sound.coding.arguments(sound.chain.channels)]
        arguments += [*_NO_METADATA, "-f", "mp4", f"file:{sound.file}"]
    for text in plan.texts:
        arguments += ["-map", f"0:{text.index}", "-c:s", "webvtt", *_NO_METADATA, "-f", "webvtt", f"file:{text.file}"]
    return arguments


def measure_arguments(plan: TranscodePlan, settings: TranscodeSettings, source: str) -> list[str]:
    """Return the arguments that compare renditions with their `source`, at the size of each, and write reports."""
    # What an encoder was given, as far as it is the same for all of them.
    plan = replace(plan, rungs=tuple(replace(rung, coding=PLAIN_CODING) for rung in plan.rungs))
    arguments = _reading(plan, settings, source)
    graph = [picture_graph(plan.picture, plan.video, plan.rungs)]
    outputs: list[str] = []
    for number, rung in enumerate(plan.rungs):
        arguments += ["-protocol_whitelist", "file", "-i", f"file:{rendition_file(rung)}"]
        graph += [f"[{number + 1}:v]{_COUNTED}[made{number}]", f"[v{number}]{_COUNTED}[meant{number}]"]
        graph.append(f"[made{number}][meant{number}]{vmaf_filter(VMAF_REPORT.format(number))}[m{number}]")
        outputs += ["-map", f"[m{number}]", "-fps_mode", "passthrough", "-f", "null", "-"]
    return [*arguments, "-filter_complex", ";".join(graph), *outputs]


def _reading(plan: TranscodePlan, settings: TranscodeSettings, source: str) -> list[str]:
    """Return the arguments that open `source`, as the first input, and come before all others."""
    threads = str(settings.threads)
    arguments = [*_QUIET, *_setup(plan), "-filter_complex_threads", threads, "-threads", threads]
    arguments += [*_from_where(plan), *_READING.get(plan.container, ()), "-protocol_whitelist", "file"]
    return [*arguments, "-format_whitelist", SOURCE_FORMATS, "-i", source]


def _from_where(plan: TranscodePlan) -> list[str]:
    """Return what has ffmpeg count from where the plan does, and begin to read where it is to."""
    # Something that is not used may begin earlier: ffmpeg would count from there.
    offset = plan.offset if plan.offset > _OFFSET_SECONDS else 0.0
    part = plan.picture.part
    if part is not None and part.read_from > 0:
        # Whatever it finds before is decoded, and left out by its time.
        seek = ["-noaccurate_seek", "-ss", f"{part.read_from + offset:.6f}"]
        return ["-itsoffset", f"{part.read_from:.6f}", *seek]
    return ["-itsoffset", f"{-offset:.6f}"] if offset else []


def _sound_graphs(plan: TranscodePlan) -> Iterator[str]:
    """Yield a graph for each stream of sound, to all that is made of it."""
    chains: dict[int, SoundChain] = {}
    ends: dict[int, dict[str, SoundCoding]] = {}
    if plan.sound is not None and plan.audio_index is not None:
        chains[plan.audio_index] = plan.sound
        # Without pictures it goes to a file of its own.
        ends[plan.audio_index] = {f"a{number}": plan.sound_coding for number in range(max(1, len(plan.rungs)))}
    for number, sound in enumerate(plan.other_sounds):
        chains.setdefault(sound.index, sound.chain)
        ends.setdefault(sound.index, {})[_other_label(number)] = sound.coding
    for index, chain in chains.items():
        yield sound_graph(chain, index, ends[index])


def _other_label(number: int) -> str:
    return f"o{number}"


def poster_arguments(rung: Rung, times: Mapping[str, float]) -> list[str]:
    """Return the arguments that take pictures of a rendition, which is upright and easy to seek in, by file name."""
    arguments = list(_QUIET)
    for at in times.values():
        arguments += ["-ss", f"{at:.3f}", "-protocol_whitelist", "file", "-i", f"file:{rendition_file(rung)}"]
    for number, name in enumerate(times):
        arguments += ["-map", f"{number}:v:0", "-frames:v", "1"]
        arguments += ["-vf", "scale=in_color_matrix=bt709:out_color_matrix=bt601:out_range=full,format=yuvj420p"]
        arguments += ["-c:v", "mjpeg", "-q:v", "3", "-threads", "1", "-map_metadata", "-1", "-fflags", "+bitexact"]
        arguments += ["-flags:v", "+bitexact", "-f", "image2", "-update", "1", f"file:{name}"]
    return arguments


def keyframes(plan: TranscodePlan, settings: TranscodeSettings) -> str:
    """Return the expression that forces keyframes: on the first picture of each segment, and on those held for long.

    The times are the same in every rendition, which lets a player switch. It looks at the time of the last forced
    keyframe, not at their number: after a pause that number lags behind.
    """
    length = f"{settings.segment_seconds:g}"
    terms = ["isnan(prev_forced_t)", f"gt(floor(t/{length}+1e-6),floor(prev_forced_t/{length}+1e-6))"]
    slack = _HELD_TOLERANCE_SECONDS
    terms += [f"between(t,{at - slack:.3f},{at + slack:.3f})" for at in plan.held]
    return f"expr:{'+'.join(terms)}"


def _video_arguments(plan: TranscodePlan, rung: Rung, settings: TranscodeSettings) -> list[str]:
    tags = kept_tags(plan.video.colour) if rung.coding.hdr else dict.fromkeys(_TAGS, "bt709")
    return [
        *rung.coding.arguments(rung.max_bitrate, settings.threads),
        *("-force_key_frames", keyframes(plan, settings), "-g", "100000"),
        *("-fps_mode", "vfr", "-enc_time_base:v", _TIME_BASE, "-flags:v", "+bitexact"),
        *("-color_range", "tv", *(word for name in _TAGS for word in (f"-{name}", tags[name]))),
        *("-bsf:v", f"setts=pts=PTS:dts=DTS:duration={_shown_ticks(plan)}"),
    ]


def _setup(plan: TranscodePlan) -> list[str]:
    """Return what opens the hardware that renditions are encoded on, once for each kind."""
    return [word for setup in dict.fromkeys(rung.coding.encoder.setup for rung in plan.rungs) for word in setup]


def _shown_ticks(plan: TranscodePlan) -> str:
    """Return the expression of how long a picture is shown: that of no length as others are, none beyond the end."""
    usual = round(_TICKS / max(plan.video.highest_rate, _USUAL_RATE))
    rate = plan.video.frame_rate
    others = max(usual, round(_TICKS * (1 / rate if rate > 0 else plan.duration)))
    known = rf"if(gte(DURATION\,{_SHORTEST_TICKS})\,DURATION\,{others})"
    return rf"min({known}\,max({round(plan.duration * _TICKS)}-PTS\,{usual}))"
