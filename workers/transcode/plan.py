"""What is to become of a source, decided before ffmpeg starts. Pure: nothing here runs anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from workers.transcode.filters import Gamut, PictureChain, SoundChain, gamut
from workers.transcode.ladder import Rung
from workers.transcode.languages import playlist_language
from workers.transcode.media import AudioTrack, Media, VideoTrack
from workers.transcode.media import OtherSound as SourceSound
from workers.transcode.renditions import Way, choose_renditions, plain_way
from workers.transcode.settings import TranscodeSettings
from workers.transcode.sound_codecs import PLAIN_SOUND, SoundCoding

POSTER = "poster.jpg"
# Of a sound that is encoded apart from the pictures, to be put beside them.
SOUND_FILE = "sound.mp4"
HLS_DIRECTORY = "hls"
HLS_MASTER = "hls/master.m3u8"
DASH_MANIFEST = "hls/manifest.mpd"
SOUND_FOLDER = "audio"

# Further sounds, and texts, that are taken of a source.
MOST_ALTERNATIVES = 16
# In these, channels may change in the middle. ffmpeg then begins its filters anew, and what fills a late beginning
# would do so once more: there it is left out where it is not needed.
STREAMING_CONTAINERS = ("mpegts", "mpeg")
# A frame rate may be a little over the limit without any frame to lose.
_FRAME_RATE_SLACK = 0.5
_POSTER_MARGIN_SECONDS = 0.01
# Where the poster may come from, as shares of the video: beginnings and ends are often black.
_POSTER_SHARES = (0.1, 0.25, 0.4, 0.6, 0.8)
# Pictures that begin later than this are preceded by black; the first is shown early where it is less.
_LATE_PICTURE_SECONDS = 0.25
# Sound that ends, or begins, within this of the pictures does so with them.
_SOUND_SLACK_SECONDS = 0.02
# A picture that is held for longer than this share of a segment can be repeated where a segment begins.
_HELD_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class OtherSound:
    """A sound that players may choose instead: the stream, and the name of its file and of its folder.

    It is another stream than the main one's, or coded otherwise.
    """

    index: int
    chain: SoundChain
    language: str | None
    file: str
    folder: str
    coding: SoundCoding = PLAIN_SOUND


@dataclass(frozen=True, slots=True)
class Text:
    """Subtitles that players may show: the stream, and the name of its file and of its folder."""

    index: int
    language: str | None
    default: bool
    forced: bool
    file: str
    folder: str


@dataclass(frozen=True, slots=True)
class TranscodePlan:
    """All that is decided before ffmpeg starts. Times are in seconds from where the source begins.

    `held` are the times of pictures that later ones may not refer to, as they are shown for long. `sound` is None
    where there is none. `poster_times` are candidates; `pictures` is how many the renditions should have at least,
    None where that cannot be said.
    """

    container: str
    rungs: tuple[Rung, ...]
    video: VideoTrack
    picture: PictureChain
    audio_index: int | None
    sound: SoundChain | None
    language: str | None
    other_sounds: tuple[OtherSound, ...]
    texts: tuple[Text, ...]
    offset: float
    duration: float
    held: tuple[float, ...]
    pictures: int | None
    poster_times: tuple[float, ...]
    hls: bool
    sound_coding: SoundCoding = PLAIN_SOUND


def make_plan(
    source: Media,
    settings: TranscodeSettings,
    *,
    ladder: Sequence[int] | None = None,
    ways: Sequence[Way] | None = None,
    sounds: Sequence[SoundCoding] = (PLAIN_SOUND,),
    hls: bool = True,
    poster_at: timedelta | None = None,
    lowest: bool = False,
) -> TranscodePlan:
    """Decide what a source becomes. `ways` are those of coding its pictures, None is the plain one.

    With `lowest` there is one rendition: the smallest of the first way, which is for everybody. `sounds` are those of
    coding its sound; the first is that of the MP4 files, the others are in the package only.
    """
    video, audio = source.video, source.audio
    too_fast = video.frame_rate > settings.max_frame_rate + _FRAME_RATE_SLACK
    doubled = video.interlaced and settings.deinterlace == "field"
    rate = min(video.frame_rate * (2 if doubled else 1), settings.max_frame_rate)
    lead = (video.start or 0.0) - source.start > _LATE_PICTURE_SECONDS
    mode = "send_field" if doubled else "send_frame"
    picture = PictureChain(
        index=video.index,
        deinterlace=mode if video.interlaced else None,
        frame_rate_limit=settings.max_frame_rate if too_fast else None,
        lead=lead,
        restarts=video.restarts,
        mapped=needs_mapping(video, settings),
    )
    counted = not too_fast and not video.interlaced
    sound = None if audio is None else _sound(source, audio, settings)
    rungs = choose_renditions(
        video.shown,
        ladder or settings.ladder,
        rate,
        (ways or (plain_way(settings),))[: 1 if lowest else None],
        hdr=gamut(video.colour) is Gamut.HDR,
        keep_size=settings.keep_size,
    )
    return TranscodePlan(
        container=source.container,
        rungs=rungs[-1:] if lowest else rungs,
        video=video,
        picture=picture,
        audio_index=None if audio is None else audio.index,
        sound=sound,
        language=None if audio is None else playlist_language(audio.language),
        other_sounds=_other_sounds(source, sound, sounds, settings) if hls else (),
        texts=_texts(source) if hls else (),
        offset=source.start - source.origin,
        duration=source.duration,
        held=_held(source, _HELD_SHARE * settings.segment_seconds),
        pictures=video.shown_pictures + lead if counted else None,
        poster_times=_poster_times(source, poster_at),
        hls=hls,
        sound_coding=sounds[0],
    )


def needs_mapping(video: VideoTrack, settings: TranscodeSettings) -> bool:
    """Return whether the colours of a source have to be mapped to BT.709."""
    found = gamut(video.colour)
    return found is Gamut.WIDE or (found is Gamut.HDR and settings.hdr == "map")


def rendition_file(rung: Rung) -> str:
    """Return the name of a rendition's MP4 file."""
    return f"{rung.name}.mp4"


def package_folder(rung: Rung) -> str:
    """Return the folder of a rendition's segments of pictures."""
    return f"{HLS_DIRECTORY}/{rung.name}"


def playlist_file(rung: Rung) -> str:
    """Return the name of a rendition's HLS media playlist."""
    return f"{package_folder(rung)}/index.m3u8"


def sound_folder() -> str:
    """Return the folder of the segments of sound."""
    return f"{HLS_DIRECTORY}/{SOUND_FOLDER}"


def _other_sounds(
    source: Media, main: SoundChain | None, codings: Sequence[SoundCoding], settings: TranscodeSettings
) -> tuple[OtherSound, ...]:
    others: list[tuple[str, AudioTrack | SourceSound, SoundChain]] = [
        # Of one length with the main sound, so that a player can change between them anywhere.
        (f"-{number}", each, replace(_sound(source, each, settings), until=source.duration))
        for number, each in enumerate(source.other_sounds[:MOST_ALTERNATIVES], 2)
    ]
    every = others if source.audio is None or main is None else [("", source.audio, main), *others]
    found = [(suffix, each, chain, codings[0]) for suffix, each, chain in others]
    for coding in codings[1:]:
        found += [(f"{suffix}-{coding.codec}", each, chain, coding) for suffix, each, chain in every]
    return tuple(
        OtherSound(
            index=each.index,
            chain=chain,
            language=playlist_language(each.language),
            file=f"sound{suffix}.mp4",
            folder=f"{HLS_DIRECTORY}/{SOUND_FOLDER}{suffix}",
            coding=coding,
        )
        for suffix, each, chain, coding in found
    )


def _texts(source: Media) -> tuple[Text, ...]:
    return tuple(
        Text(
            index=each.index,
            language=playlist_language(each.language),
            default=each.default,
            forced=each.forced,
            file=f"text-{number}.vtt",
            folder=f"{HLS_DIRECTORY}/text-{number}",
        )
        for number, each in enumerate(source.texts[:MOST_ALTERNATIVES], 1)
    )


def _sound(source: Media, audio: AudioTrack | SourceSound, settings: TranscodeSettings) -> SoundChain:
    late = (audio.start or 0.0) - source.start > _SOUND_SLACK_SECONDS
    return SoundChain(
        channels=max(1, min(2, audio.channels)),
        folded=audio.channels > 2,
        filled=late or source.container not in STREAMING_CONTAINERS,
        until=source.duration if source.start + source.duration - audio.end > _SOUND_SLACK_SECONDS else None,
        restarts=audio.restarts,
        loudness=settings.loudness,
        joined=audio.joined,
    )


def _held(source: Media, seconds: float) -> tuple[float, ...]:
    """Return when pictures are shown that stay for longer than `seconds`, the last one until the sound ends."""
    video = source.video
    held = [at for at, length in video.pauses if length > seconds]
    if source.start + source.duration - video.last > seconds and video.last not in held:
        held.append(video.last)
    return tuple(at - source.start for at in held)


def _poster_times(source: Media, wanted: timedelta | None) -> tuple[float, ...]:
    last_picture = max(0.0, source.video.last - source.start - _POSTER_MARGIN_SECONDS)
    if wanted is not None:
        return (min(wanted.total_seconds(), last_picture),)
    return tuple(sorted({round(min(share * source.duration, last_picture), 3) for share in _POSTER_SHARES}))
