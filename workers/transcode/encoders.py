"""The encoders that pictures can be coded with, and the arguments that ffmpeg is given for each.

All are asked for the same: constant quality under a ceiling of bits, keyframes where they are forced and nowhere else,
and none that later pictures reach behind. Whether an encoder keeps to that on a machine is found out by a trial.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workers.transcode.codecs import VideoCodec

# How much time is spent for a smaller file, as x264 calls it; the fastest first.
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
DEFAULT_PRESET = "medium"
# What looks about as good as the same of x264 with 23, and takes what share of its bits.
DEFAULT_QUALITY = {VideoCodec.H264: 23, VideoCodec.HEVC: 26, VideoCodec.AV1: 35, VideoCodec.VP9: 33}
DEFAULT_BITRATE_SHARE = {VideoCodec.H264: 1.0, VideoCodec.HEVC: 0.7, VideoCodec.AV1: 0.6, VideoCodec.VP9: 0.7}
# Between these a quality is looked for that reaches a score, the best first.
QUALITIES_TO_TRY = {
    VideoCodec.H264: (14, 38),
    VideoCodec.HEVC: (16, 40),
    VideoCodec.AV1: (18, 55),
    VideoCodec.VP9: (16, 52),
}
WORST_QUALITY = {VideoCodec.H264: 51, VideoCodec.HEVC: 51, VideoCodec.AV1: 63, VideoCodec.VP9: 63}

# The same presets for those that count them, in the order of `PRESETS`.
_SVT_PRESETS = (12, 11, 10, 9, 8, 7, 6, 4, 3)
_VP9_SPEEDS = (5, 5, 5, 4, 4, 3, 2, 1, 0)
_NVENC_PRESETS = ("p1", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p7")
_RENDER_NODE = "/dev/dri/renderD128"


@dataclass(frozen=True, slots=True)
class Quality:
    """What an encoder is asked for. `level` is on the encoder's own scale; `max_bitrate` is in bits per second."""

    preset: str
    level: int
    max_bitrate: int
    threads: int


@dataclass(frozen=True, slots=True)
class Encoder:
    """One of ffmpeg's encoders. `device` is the kind of hardware that it runs on, None for the processor.

    `formats` are the pixel formats it is given, of 8 and of 10 bits, None where it does not take those; `setup` comes
    before the inputs, and `upload` are filters that bring pictures to the device.
    """

    name: str
    codec: VideoCodec
    device: str | None
    formats: tuple[str, str | None]
    options: Callable[[Quality], list[str]]
    setup: tuple[str, ...] = ()
    upload: str = ""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Keep an encoder by its name: what it does is this version's of the plugin."""
        from pydantic_core import core_schema

        by_name = core_schema.no_info_after_validator_function(_encoder_called, core_schema.str_schema())
        return core_schema.json_or_python_schema(
            json_schema=by_name,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), by_name]),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda encoder: encoder.name),
        )

    def arguments(self, quality: Quality) -> list[str]:
        """Return the arguments that choose the encoder and say how well it is to code."""
        tag = ["-tag:v", "hvc1"] if self.codec is VideoCodec.HEVC else []
        return ["-c:v", self.name, *self.options(quality), *tag]


@dataclass(frozen=True, slots=True)
class Coding:
    """How the pictures of a rendition are coded. With `hdr`, HDR is kept as it is, in 10 bits."""

    encoder: Encoder
    preset: str
    level: int
    hdr: bool = False

    def arguments(self, max_bitrate: int, threads: int) -> list[str]:
        """Return the arguments for a rendition of at most `max_bitrate` bits per second."""
        return self.encoder.arguments(Quality(self.preset, self.level, max_bitrate, threads))

    @property
    def pixel_format(self) -> str:
        """The format that decoded pictures have."""
        return "yuv420p10le" if self.hdr else "yuv420p"

    @property
    def suffix(self) -> str:
        """What is added to the names of renditions. H.264 adds nothing."""
        codec = "" if self.encoder.codec is VideoCodec.H264 else f"-{self.encoder.codec}"
        return codec + ("-hdr" if self.hdr else "")


def _capped(quality: Quality) -> list[str]:
    return ["-maxrate", str(quality.max_bitrate), "-bufsize", str(2 * quality.max_bitrate)]


def _x264(quality: Quality) -> list[str]:
    speed = ["-preset", quality.preset, "-threads", str(quality.threads)]
    return [*speed, "-crf", str(quality.level), *_capped(quality), "-sc_threshold", "0"]


def _x265(quality: Quality) -> list[str]:
    details = f"open-gop=0:scenecut=0:info=0:log-level=error:pools={quality.threads}"
    speed = ["-preset", quality.preset, "-threads", str(quality.threads)]
    return [*speed, "-crf", str(quality.level), *_capped(quality), "-forced-idr", "1", "-x265-params", details]


def _svt_av1(quality: Quality) -> list[str]:
    # Older versions of the library move forced keyframes where they please, unless they are told not to.
    details = f"scd=0:enable-force-key-frames=1:lp={quality.threads}"
    speed = ["-preset", str(_SVT_PRESETS[PRESETS.index(quality.preset)])]
    return [*speed, "-crf", str(quality.level), *_capped(quality), "-svtav1-params", details]


def _vp9(quality: Quality) -> list[str]:
    speed = ["-deadline", "good", "-cpu-used", str(_VP9_SPEEDS[PRESETS.index(quality.preset)])]
    speed += ["-row-mt", "1", "-threads", str(quality.threads)]
    # With a quality given, the bit rate is a ceiling.
    return [*speed, "-crf", str(quality.level), "-b:v", str(quality.max_bitrate)]


def _nvenc(quality: Quality) -> list[str]:
    speed = ["-preset", _NVENC_PRESETS[PRESETS.index(quality.preset)], "-rc", "vbr", "-cq", str(quality.level)]
    return [*speed, "-b:v", "0", *_capped(quality), "-forced-idr", "1", "-no-scenecut", "1"]


def _qsv(quality: Quality) -> list[str]:
    preset = PRESETS[max(PRESETS.index("veryfast"), PRESETS.index(quality.preset))]
    return ["-preset", preset, "-global_quality", str(quality.level), *_capped(quality), "-forced_idr", "1"]


def _vaapi(quality: Quality) -> list[str]:
    return ["-rc_mode", "QVBR", "-global_quality", str(quality.level), "-b:v", str(quality.max_bitrate)]


def _hardware(codec: VideoCodec) -> list[Encoder]:
    """Return the hardware encoders of a format, the best first."""
    ten = None if codec is VideoCodec.H264 else "p010le"
    node = ("-init_hw_device", f"vaapi=device:{_RENDER_NODE}", "-filter_hw_device", "device")
    return [
        Encoder(f"{codec}_nvenc", codec, "nvenc", ("yuv420p", ten), _nvenc),
        Encoder(f"{codec}_qsv", codec, "qsv", ("nv12", ten), _qsv),
        Encoder(f"{codec}_vaapi", codec, "vaapi", ("nv12", ten), _vaapi, setup=node, upload="hwupload"),
    ]


LIBX264 = Encoder("libx264", VideoCodec.H264, None, ("yuv420p", None), _x264)
_LIBX265 = Encoder("libx265", VideoCodec.HEVC, None, ("yuv420p", "yuv420p10le"), _x265)
_SVT_AV1 = Encoder("libsvtav1", VideoCodec.AV1, None, ("yuv420p", "yuv420p10le"), _svt_av1)
_LIBVPX = Encoder("libvpx-vp9", VideoCodec.VP9, None, ("yuv420p", "yuv420p10le"), _vp9)

# What there is without a profile, where nothing else is said.
PLAIN_CODING = Coding(LIBX264, DEFAULT_PRESET, DEFAULT_QUALITY[VideoCodec.H264])

SOFTWARE: Mapping[VideoCodec, Encoder] = {each.codec: each for each in (LIBX264, _LIBX265, _SVT_AV1, _LIBVPX)}
HARDWARE: Mapping[VideoCodec, tuple[Encoder, ...]] = {
    VideoCodec.H264: tuple(_hardware(VideoCodec.H264)),
    VideoCodec.HEVC: tuple(_hardware(VideoCodec.HEVC)),
    VideoCodec.AV1: tuple(_hardware(VideoCodec.AV1)),
    VideoCodec.VP9: tuple(each for each in _hardware(VideoCodec.VP9) if each.device != "nvenc"),
}
ENCODERS: Mapping[str, Encoder] = {
    each.name: each for codec in VideoCodec for each in (SOFTWARE[codec], *HARDWARE[codec])
}


def _encoder_called(name: str) -> Encoder:
    if name not in ENCODERS:
        raise ValueError(f"no encoder is called {name!r}")
    return ENCODERS[name]
