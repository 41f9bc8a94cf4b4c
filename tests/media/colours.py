"""Patches of known colour: sources that code them in different ways, and what a player makes of their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
from av.video.frame import VideoFrame

from tests.media.ffmpegs import Ffmpeg

RGB = tuple[int, int, int]

PATCHES: tuple[RGB, ...] = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
    (128, 128, 128),
    (200, 150, 120),
    (0, 0, 0),
    (16, 16, 16),
)
_FRAMES = 5

# The shares of red and blue in brightness, by the code point of the matrix (ISO/IEC 23091-2).
_BT709 = 1
_SHARES = {_BT709: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
_LIMITED, _FULL = 1, 2

_H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "4")
_HEVC = ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "4", "-x265-params", "log-level=none")
_FFV1 = ("-c:v", "ffv1")
_UNTAGGED = "setparams=colorspace=unknown:range=unknown:color_primaries=unknown:color_trc=unknown"


@dataclass(frozen=True, slots=True)
class ColourSource:
    """How patches are coded: the filters that RGB goes through, and the encoder. `hdr` is of a wider range."""

    name: str
    filters: tuple[str, ...]
    encoder: tuple[str, ...]
    size: tuple[int, int] = (1280, 720)
    suffix: str = ".mp4"
    hdr: bool = False

    def make(self, ffmpeg: Ffmpeg, path: Path) -> None:
        """Write the source into a file."""
        width, height = self.size
        row = b"".join(bytes(PATCHES[x * len(PATCHES) // width]) for x in range(width))
        raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "25", "-i", "-")
        chain = ("-vf", ",".join(self.filters)) if self.filters else ()
        ffmpeg.run(*raw, *chain, *self.encoder, str(path), stdin=row * height * _FRAMES)


def _coded(matrix: str, range_: str = "tv", pixels: str = "yuv420p") -> str:
    return f"scale=out_color_matrix={matrix}:out_range={range_}:flags=accurate_rnd+full_chroma_int,format={pixels}"


def _tags(matrix: str, primaries: str, transfer: str, range_: str = "tv") -> str:
    return f"setparams=colorspace={matrix}:color_primaries={primaries}:color_trc={transfer}:range={range_}"


_RGB = ("format=gbrp", _tags("gbr", "bt709", "bt709", "pc"))
_HALF_TOLD = "setparams=colorspace=unknown:color_primaries=unknown"


def _hdr(transfer: str) -> tuple[str, ...]:
    linear = "zscale=tin=bt709:pin=bt709:min=gbr"
    return (
        *_RGB,
        f"{linear}:t={transfer}:p=bt2020:m=bt2020nc:r=tv:npl=203,format=yuv420p10le",
    )


COLOUR_SOURCES = {
    source.name: source
    for source in (
        ColourSource("bt709", (_coded("bt709"), _tags("bt709", "bt709", "bt709")), _H264),
        ColourSource("untagged-hd", (_coded("bt709"), _UNTAGGED), _H264),
        ColourSource("bt601", (_coded("bt601"), _tags("bt470bg", "bt470bg", "bt709")), _H264, (720, 576)),
        ColourSource("untagged-sd", (_coded("bt601"), _UNTAGGED), _H264, (720, 576)),
        ColourSource("bt601-hd", (_coded("bt601"), _tags("smpte170m", "bt709", "bt709")), _H264),
        ColourSource("full-range", (_coded("bt709", "pc"), _tags("bt709", "bt709", "bt709", "pc")), _H264),
        ColourSource("rgb", (), ("-c:v", "ffv1"), suffix=".mkv"),
        ColourSource("rgb-h264", (), ("-c:v", "libx264rgb", "-preset", "ultrafast", "-qp", "0"), suffix=".mkv"),
        ColourSource("mjpeg", (_coded("bt601", "pc", "yuvj422p"),), ("-c:v", "mjpeg", "-q:v", "1"), suffix=".avi"),
        ColourSource("ycgco", (*_RGB, "zscale=m=ycgco:r=tv,format=yuv444p"), _FFV1, suffix=".mkv"),
        ColourSource("hlg-half-told", (*_hdr("arib-std-b67"), _HALF_TOLD), _HEVC, suffix=".mkv", hdr=True),
        ColourSource("pq", _hdr("smpte2084"), _HEVC, suffix=".mkv", hdr=True),
        ColourSource("hlg", _hdr("arib-std-b67"), _HEVC, suffix=".mkv", hdr=True),
    )
}


def seen(path: Path) -> list[RGB]:
    """Return the patches of a file's first picture, as a player shows them that heeds all tags."""
    with av.open(str(path)) as media:
        frame = next(media.decode(video=0))
    red, blue = _SHARES[int(frame.colorspace)]
    full = int(frame.color_range) == _FULL
    return [_rgb(_patch(frame, number), red, blue, full=full) for number in range(len(PATCHES))]


def tags(path: Path) -> tuple[int, int, int, int]:
    """Return the code points that the coded pictures themselves bear: matrix, primaries, transfer, range."""
    with av.open(str(path)) as media:
        frame = next(media.decode(video=0))
    return int(frame.colorspace), int(frame.color_primaries), int(frame.color_trc), int(frame.color_range)


def _patch(frame: VideoFrame, number: int) -> tuple[float, float, float]:
    """Return the mean of each plane in the middle of a patch."""
    means = []
    for plane in frame.planes:
        content = bytes(plane)
        first, last = (round((number + share) * plane.width / len(PATCHES)) for share in (0.3, 0.7))
        rows = range(plane.height // 3, 2 * plane.height // 3)
        values = [content[y * plane.line_size + x] for y in rows for x in range(first, last)]
        means.append(sum(values) / len(values))
    luma, blueness, redness = means
    return luma, blueness, redness


def _rgb(means: tuple[float, float, float], red: float, blue: float, *, full: bool) -> RGB:
    luma = means[0] / 255 if full else (means[0] - 16) / 219
    b, r = ((mean - 128) / (255 if full else 224) for mean in means[1:])
    red_value, blue_value = luma + 2 * (1 - red) * r, luma + 2 * (1 - blue) * b
    green_value = (luma - red * red_value - blue * blue_value) / (1 - red - blue)
    values = (round(255 * min(1.0, max(0.0, value))) for value in (red_value, green_value, blue_value))
    return next(values), next(values), next(values)
