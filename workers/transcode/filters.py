"""The filter graphs that ffmpeg is given: what happens to pictures and sound between decoding and encoding.

All outputs are BT.709 of limited range and say so: where nothing is said, players guess by the size of the picture,
and the colours change with the level.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from workers.transcode.ladder import Rung, Size
from workers.transcode.media import Colour, VideoTrack
from workers.transcode.sound_codecs import SAMPLE_RATE, SoundCoding

# Filters that mapping HDR, or other wide colours, takes.
MAPPING_FILTERS = frozenset({"zscale", "tonemap"})

# Code points of ISO/IEC 23091-2.
_UNSPECIFIED = 2
_BT2020_PRIMARIES, _BT2020_MATRICES = 9, (9, 10)
# BT.2020, and those of cinemas and of displays (P3).
_WIDE_PRIMARIES = (_BT2020_PRIMARIES, 11, 12)
# What zscale calls primaries and matrices; other primaries are taken for those of BT.709, which they are close to.
_ZSCALE_PRIMARIES = {_BT2020_PRIMARIES: "bt2020", 11: "smpte431", 12: "smpte432"}
_ZSCALE_MATRICES = {
    0: "gbr",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    8: "ycgco",
    9: "2020_ncl",
    10: "2020_cl",
    12: "chroma-derived-nc",
    13: "chroma-derived-c",
    14: "ictcp",
}
# Those that the plain scaler cannot read, and newer versions of it refuse to touch.
_UNUSUAL_MATRICES = (8, 10, 12, 13, 14)
_PQ, _HLG = 16, 18
_TRANSFER_NAMES = {_PQ: "smpte2084", _HLG: "arib-std-b67", 14: "2020_10", 15: "2020_12"}
_LIMITED_RANGE, _FULL_RANGE = 1, 2

# Diffuse white of HDR (BT.2408), and the brightest that is told apart, both in nits.
_WHITE_NITS, _PEAK_NITS = 203, 1000
# Up to this share of white nothing is changed; what is brighter is compressed.
_MAPPED_FROM = 0.6
# Who leaves the matrix out means BT.709 from this size on, BT.601 below.
_HD = Size(1280, 720)
_BT709_TAGS = {"color_primaries": "bt709", "color_trc": "bt709", "colorspace": "bt709"}
_PRIMARIES_NAMES = {1: "bt709", _BT2020_PRIMARIES: "bt2020", 11: "smpte431", 12: "smpte432"}
_RGB_FORMATS = ("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "x2rgb", "x2bgr")

# What lips may be off by before anybody sees it, and how many samples a second may be added before anybody hears it.
_SHORTEST_HOLE_SECONDS, _STRETCHED_SAMPLES = 0.015, 1000
# Coding adds a little to peaks: 1.5 dB are left for that.
_LIMIT = 0.84


class Gamut(Enum):
    """How far a source's colours are from BT.709."""

    STANDARD = "standard"
    WIDE = "wide"
    HDR = "hdr"


@dataclass(frozen=True, slots=True)
class Part:
    """The pictures that are shown from `start` up to but without `end`, in seconds; None is to the end of the video.

    A reader that begins at `read_from` comes by all of them.
    """

    start: float
    end: float | None
    read_from: float


@dataclass(frozen=True, slots=True)
class PictureChain:
    """What all renditions share: the stream, how it is deinterlaced, how many pictures a second it may keep.

    `lead` says that black is shown until the first picture; `restarts` has what is added to the source's clock, in
    seconds, each time that it goes back. Only a `part` of them is encoded, where there is one.
    """

    index: int
    deinterlace: str | None
    frame_rate_limit: float | None
    lead: bool
    restarts: tuple[float, ...]
    mapped: bool
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class SoundChain:
    """How sound is made: silence fills what is `filled` before it begins, and after its end up to `until` seconds.

    `loudness` is in LUFS, None leaves it as it is. It is `joined` where ffmpeg itself has one recording follow another.
    """

    channels: int
    folded: bool
    filled: bool
    until: float | None
    restarts: tuple[float, ...]
    loudness: float | None
    joined: bool = False


def gamut(colour: Colour) -> Gamut:
    """Return how far colours are from BT.709."""
    if colour.transfer in (_PQ, _HLG):
        return Gamut.HDR
    wide = colour.primaries in _WIDE_PRIMARIES or colour.matrix in (*_BT2020_MATRICES, *_UNUSUAL_MATRICES)
    return Gamut.WIDE if wide else Gamut.STANDARD


def picture_graph(chain: PictureChain, video: VideoTrack, rungs: Sequence[Rung]) -> str:
    """Return the graph from one decoded stream to `[v0]`, `[v1]` and so on, one for each rung.

    ffmpeg has turned pictures upright before they enter it. Rungs that keep HDR branch off before it is mapped.
    """
    first: list[str] = []
    if chain.restarts:
        first.append(f"setpts={_continued(chain.restarts)}")
    if chain.deinterlace is not None:
        first.append(f"bwdif=mode={chain.deinterlace}:deint=interlaced")
    if chain.frame_rate_limit is not None:
        first.append(f"fps={chain.frame_rate_limit:g}")
    if chain.part is not None:
        first.append(_trim(chain.part))
    plain = {number: rung for number, rung in enumerate(rungs) if not rung.coding.hdr}
    kept = {number: rung for number, rung in enumerate(rungs) if rung.coding.hdr}
    mapping = _mapping(video.colour, max((rung.size for rung in rungs), key=_area)) if chain.mapped else []
    source = f"[0:{chain.index}]"
    graph: list[str] = []
    if kept:
        graph.append(f"{source}{','.join([*first, 'split=2'])}[plain][kept]")
        graph.append(f"[kept]{_split(kept)}")
        source, first = "[plain]", []
    graph.append(f"{source}{','.join([*first, *mapping, _split(plain)])}")
    for number, rung in enumerate(rungs):
        graph += _rung_graph(number, rung, chain, video)
    return ";".join(graph)


def _trim(part: Part) -> str:
    until = "" if part.end is None else f":end={part.end:.6f}"
    return f"trim=start={part.start:.6f}{until}"


def _split(rungs: Iterable[int]) -> str:
    ends = [f"[s{number}]" for number in rungs]
    return f"split={len(ends)}{''.join(ends)}"


def _area(size: Size) -> int:
    return size.width * size.height


def _rung_graph(number: int, rung: Rung, chain: PictureChain, video: VideoTrack) -> list[str]:
    """Return the filters from `[s0]`, `[s1]` and so on to the pictures that an encoder gets."""
    coding = rung.coding
    tags = kept_tags(video.colour) if coding.hdr else _BT709_TAGS
    wanted = "bt2020" if coding.hdr else "bt709"
    given = wanted if chain.mapped and not coding.hdr else _matrix(video)
    size = f"{rung.size.width}:{rung.size.height}"
    matrices = f"in_color_matrix={given}:out_color_matrix={wanted}:out_range=limited"
    if given != wanted:
        # The fast way of turning one matrix into another is visibly off.
        matrices += ":flags=bicubic+accurate_rnd+full_chroma_int"
    pixels = coding.encoder.formats[coding.hdr]
    coded = f"setsar=1,format={pixels},setparams=range=tv:{':'.join(f'{name}={tag}' for name, tag in tags.items())}"
    upload = f",{coding.encoder.upload}" if coding.encoder.upload else ""
    scaled = f"[s{number}]scale={size}:{matrices},{coded}"
    if not chain.lead:
        return [f"{scaled}{upload}[v{number}]"]
    black = f"color=black:size={rung.size.width}x{rung.size.height}:rate=1,trim=end_frame=1"
    return [f"{black},{coded}[b{number}]", f"{scaled}[p{number}];[b{number}][p{number}]interleave{upload}[v{number}]"]


def kept_tags(colour: Colour) -> dict[str, str]:
    """Return how HDR that is kept is marked, by the names of ffmpeg's options."""
    return {
        "color_primaries": _PRIMARIES_NAMES.get(colour.primaries, "bt2020"),
        "color_trc": _TRANSFER_NAMES[colour.transfer],
        "colorspace": "bt2020nc",
    }


def kept_colour(colour: Colour) -> Colour:
    """Return the code points that HDR bears where it is kept."""
    primaries = colour.primaries if colour.primaries in _PRIMARIES_NAMES else _BT2020_PRIMARIES
    return Colour(_BT2020_MATRICES[0], primaries, colour.transfer, _LIMITED_RANGE)


def video_range(colour: Colour) -> str:
    """Return what a playlist says of a file's colours."""
    return {_PQ: "PQ", _HLG: "HLG"}.get(colour.transfer, "SDR")


def sound_graph(chain: SoundChain, index: int, ends: Mapping[str, SoundCoding]) -> str:
    """Return the graph from one decoded stream to its `ends`, by label, for what codes each of them.

    It is one graph for all of them: of several graphs that one decoder feeds, ffmpeg 9 may leave all but the first
    waiting for ever, where they have more to say than what is muxed allows, as with sound that begins late.
    """
    skips = {label: coding.skipped_samples for label, coding in ends.items() if coding.skipped_samples}
    split = "".join(f"[{label}s]" if label in skips else f"[{label}]" for label in ends)
    graph = [f"[0:{index}]{sound_filters(chain)},asplit={len(ends)}{split}"]
    return ";".join([*graph, *(f"[{label}s]atrim=start_pts={count}[{label}]" for label, count in skips.items())])


def sound_filters(chain: SoundChain) -> str:
    """Return the filters of one sound."""
    # Holes in the sound are filled with silence, and what a recorder's clock is off by is stretched, so that all stays
    # with its pictures; sound whose times are right is left as it is.
    filled = f"aresample=async={_STRETCHED_SAMPLES}:min_comp={_SHORTEST_HOLE_SECONDS}"
    filled += ":first_pts=0" if chain.filled else ""
    if chain.restarts or chain.joined:
        # Between two recordings smaller holes are filled as well, and what overlaps is cut: within one, they are how a
        # recorder counts.
        filled += f":min_hard_comp={_SHORTEST_HOLE_SECONDS}"
    filters = [f"asetpts={_continued(chain.restarts)}", filled] if chain.restarts else [filled]
    filters.append(f"aformat=channel_layouts={'mono' if chain.channels == 1 else 'stereo'}")
    if chain.loudness is not None:
        filters.append(f"loudnorm=I={chain.loudness:g}:TP=-1.5:LRA=11")
    elif chain.folded:
        # Several channels add up to more than full scale; to lower all of them would make speech too quiet.
        filters.append(f"alimiter=limit={_LIMIT}:level=0:latency=1")
    filters.append(f"aresample={SAMPLE_RATE}")
    if chain.until is not None:
        filters += ["apad", f"atrim=end={chain.until:.6f}"]
    return ",".join(filters)


def _mapping(colour: Colour, size: Size) -> list[str]:
    """Return the filters that turn wide colours into BT.709, at the size of the largest rendition at most."""
    transfer = _TRANSFER_NAMES.get(colour.transfer, "bt709")
    matrix = _ZSCALE_MATRICES.get(colour.matrix, "2020_ncl")
    wide = gamut(colour) is Gamut.HDR or colour.matrix in _BT2020_MATRICES
    untold = colour.primaries == _UNSPECIFIED
    primaries = _ZSCALE_PRIMARIES.get(_BT2020_PRIMARIES if untold and wide else colour.primaries, "bt709")
    full = colour.range == _FULL_RANGE or matrix == "gbr"
    given = f"tin={transfer}:pin={primaries}:min={matrix}:rin={'full' if full else 'limited'}"
    # What nobody has told is passed on as that, and then nothing can be made of it. The scaler only scales here: what
    # it is told of the matrix does not matter, if it is one that it knows.
    meant = f"setparams=color_primaries={primaries}"
    if colour.matrix in (_UNSPECIFIED, *_UNUSUAL_MATRICES):
        meant += ":colorspace=bt2020nc"
    linear = [meant, f"scale={size.width}:{size.height}", f"zscale={given}:t=linear:npl={_WHITE_NITS}"]
    linear.append("format=gbrpf32le")
    tone = f"tonemap=mobius:param={_MAPPED_FROM}:peak={_PEAK_NITS / _WHITE_NITS:.3f}:desat=0"
    tones = [tone] if gamut(colour) is Gamut.HDR else []
    return [*linear, "zscale=p=bt709", *tones, "zscale=t=bt709:m=bt709:r=limited", "format=yuv420p"]


def _matrix(video: VideoTrack) -> str:
    """Return the name of the matrix that a source's numbers are read by."""
    if video.colour.matrix != _UNSPECIFIED or video.pixel_format.startswith(_RGB_FORMATS):
        return "auto"
    return "bt709" if video.width >= _HD.width or video.height >= _HD.height else "bt601"


def _continued(restarts: Sequence[float]) -> str:
    """Return an expression of times that go on where the clock goes back: the n-th time by the n-th of `restarts`."""
    steps = [later - earlier for earlier, later in pairwise([0.0, *restarts])]
    added = "+".join(f"gte(ld(1),{number})*{step:.6f}" for number, step in enumerate(steps, 1))
    return f"'st(1,ld(1)+lt(PTS,ld(0)-1/TB));st(0,PTS);PTS+({added})/TB'"
