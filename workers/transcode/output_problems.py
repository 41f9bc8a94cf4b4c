"""Is an output what was planned? Pure decisions on what the probing process found; each returns sentences.

The probing process has decoded every output, from beginning to end and strictly, before anything here is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from workers.transcode.encoders import PLAIN_CODING, Coding
from workers.transcode.filters import kept_colour
from workers.transcode.hls import Master, MediaPlaylist
from workers.transcode.ladder import Size
from workers.transcode.media import AudioTrack, Colour, Media, SoundFile, VideoTrack
from workers.transcode.probe import Unusable
from workers.transcode.sound_codecs import SoundCodec

# How far the length of an output may be off: encoders pad sound, and the last picture's own length is often unknown.
_TOLERANCE_SECONDS = 0.5
_LONGEST_TOLERATED_GAP = 10.0
# Segment lengths in a playlist are rounded.
_PLAYLIST_TOLERANCE_SECONDS = 0.1

# Matrix, primaries and transfer of BT.709, limited range.
BT709 = Colour(1, 1, 1, 1)

WHAT_TO_DO = (
    "the same source gives the same again, so it is not tried again: "
    "submit a repaired copy, or report this together with the source"
)


def rendition_problems(
    found: Media | SoundFile | Unusable,
    size: Size,
    channels: int | None,
    source: Media,
    coding: Coding = PLAIN_CODING,
    sound: SoundCodec = SoundCodec.AAC,
) -> list[str]:
    """Tell what is wrong with an MP4 rendition that should show `source` at `size`, coded as `coding` has it.

    Both streams of a rendition begin together; what a source does not have from the beginning, or to the end, of its
    other stream is filled.
    """
    if not isinstance(found, Media):
        return [f"it cannot be decoded ({found})"]
    problems = picture_problems(found.video, size, coding, source.video.colour)
    problems += _end_problems("video", found.video, source.video, source)
    if (found.audio is None) != (source.audio is None):
        problems.append("it has sound, the source has none" if found.audio else "it has no sound, the source has")
    if found.audio is not None and source.audio is not None:
        problems += sound_problems(found.audio, channels, sound)
        problems += _end_problems("sound", found.audio, source.audio, source)
    return problems


def picture_problems(video: VideoTrack, size: Size, coding: Coding, source: Colour) -> list[str]:
    """Tell what is wrong with the pictures of a rendition, or of a part of one, at `size`.

    `source` is how the source's colours are marked.
    """
    problems = []
    if (video.codec, video.pixel_format) != (coding.encoder.codec, coding.pixel_format) or video.told is None:
        wanted = f"{coding.encoder.codec} {coding.pixel_format}"
        problems.append(f"its video is {video.codec} {video.pixel_format}, not {wanted}")
    if Size(video.width, video.height) != size or video.shown != size:
        problems.append(f"its pictures are {video.width}x{video.height}, not {size.width}x{size.height} and upright")
    if video.colour != (kept_colour(source) if coding.hdr else BT709):
        wanted = "the source's HDR" if coding.hdr else "BT.709"
        problems.append(f"its colours are marked as {tuple(video.colour)}, not as {wanted} of limited range")
    if video.decoded != video.packets:
        problems.append(f"{video.decoded} of its {video.packets} pictures can be decoded")
    return problems


def alignment_problems(renditions: Mapping[str, Media]) -> list[str]:
    """Return whether the renditions' keyframes fall together, so that a player can change between them."""
    times = {name: media.video.keyframes for name, media in renditions.items()}
    if len(set(times.values())) <= 1:
        return []
    return [f"keyframes of {', '.join(times)} do not fall together"]


def package_problems(rendition: Media, playlist: MediaPlaylist) -> list[str]:
    """Return whether the segments of pictures last as long as the rendition; their raw times were compared before."""
    if abs(playlist.duration - rendition.duration) > _PLAYLIST_TOLERANCE_SECONDS:
        return [f"its segments last {playlist.duration:.2f} s, not {rendition.duration:.2f} s"]
    return []


def poster_problems(found: Media | SoundFile | Unusable, size: Size) -> list[str]:
    """Tell what is wrong with a poster that should be a JPEG of `size`."""
    if not isinstance(found, Media):
        return [f"it cannot be decoded ({found})"]
    video = found.video
    if (video.codec, Size(video.width, video.height), video.decoded) != ("mjpeg", size, 1):
        return [f"it is {video.codec} of {video.width}x{video.height}, not a JPEG of {size.width}x{size.height}"]
    return []


def missing_files(base: Path, playlist: str, named: Sequence[str]) -> list[str]:
    """Tell which files that a playlist names are not there, or are empty, or lie outside its own folder."""
    folder = base / PurePosixPath(playlist).parent
    problems = []
    for name in named:
        path = folder / name
        if ":" in name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            problems.append(f"it names {name!r}, which is not a file beside it")
        elif not path.is_file() or path.stat().st_size == 0:
            problems.append(f"it names {name!r}, which is missing or empty")
    return problems


def master_problems(read: Master, written: Master) -> list[str]:
    """Return whether a master playlist says, when read again, what was written."""
    return [] if read == written else ["it does not list the renditions as they are"]


def sound_problems(audio: AudioTrack, channels: int | None, codec: SoundCodec) -> list[str]:
    """Tell what is wrong with a sound that should have so many channels."""
    profile = "LC" if codec is SoundCodec.AAC else audio.profile
    if (audio.codec, audio.profile, audio.channels) != (codec, profile, channels) or audio.decoded == 0:
        found = f"{audio.codec} {audio.profile} with {audio.channels} channels"
        return [f"its sound is {found}, not {codec} {profile} with {channels}"]
    return []


def _end_problems(
    what: str, found: VideoTrack | AudioTrack, source: VideoTrack | AudioTrack, whole: Media
) -> list[str]:
    wanted = source.end - whole.start
    # Sound that ends before the pictures is filled with silence.
    latest = max(wanted, whole.duration) if what == "sound" else wanted
    slack = _TOLERANCE_SECONDS + _gap(source)
    if wanted - slack <= found.end <= latest + slack:
        return []
    return [f"its {what} lasts {found.end:.2f} s, that of the source {wanted:.2f} s"]


def _gap(track: VideoTrack | AudioTrack) -> float:
    """Return how long the last picture may last: as long as the longest before it."""
    return min(track.longest_gap, _LONGEST_TOLERATED_GAP)
