"""What a job returns: all that is known of what was made, as it was found, and what its submitter should know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from workers.transcode.content_key import PackageKey
from workers.transcode.filters import Gamut, gamut, video_range
from workers.transcode.hls import INDEX_FILE
from workers.transcode.media import Media
from workers.transcode.packaging import codecs, listed_sounds
from workers.transcode.payload import Rendition, Sound, SourceInfo, Transcode, TranscodeResult
from workers.transcode.plan import (
    DASH_MANIFEST,
    HLS_MASTER,
    POSTER,
    STREAMING_CONTAINERS,
    TranscodePlan,
    playlist_file,
    rendition_file,
)
from workers.transcode.working_encoders import ChosenProfile

# Pictures that may be missing without being told: those around a damaged place of a few packets.
_UNTOLD_PICTURES, _UNTOLD_SHARE = 2, 0.01
# Streams that end so long before the file, in seconds or in its bytes, are not all of it.
_UNTOLD_SECONDS, _COVERED = 1.0, 0.9


def make_result(
    job: Transcode,
    source: Media,
    source_size: int,
    plan: TranscodePlan,
    renditions: Sequence[Media],
    directory: Path,
    chosen: ChosenProfile,
    key: PackageKey | None,
) -> TranscodeResult:
    """Return the result of a job whose outputs have all been checked; `key` is that of an encrypted package."""
    kept = keeps_mp4(job, key)
    return TranscodeResult(
        video_id=job.video_id,
        profile=chosen.label,
        duration=round(source.duration, 3),
        source=_source_info(source, source_size),
        renditions=tuple(
            _rendition(plan, number, media, directory / rendition_file(plan.rungs[number]) if kept else None)
            for number, media in enumerate(renditions)
        ),
        hls_master=HLS_MASTER if plan.hls else None,
        dash_manifest=DASH_MANIFEST if plan.hls and (key is None or key.request.in_dash) else None,
        poster=POSTER,
        warnings=(*chosen.warnings, *warnings(source, plan, renditions[0])),
        encryption=None if key is None else key.request.encryption,
        key_id=None if key is None else key.request.key_id,
        sounds=tuple(_sounds(plan)) if plan.hls else (),
    )


def keeps_mp4(job: Transcode, key: PackageKey | None) -> bool:
    """Return whether the MP4 files are kept: they are not encrypted."""
    return key is None if job.mp4 is None else job.mp4


def warnings(source: Media, plan: TranscodePlan, rendition: Media) -> Iterator[str]:
    """Yield what became of the source otherwise than somebody might expect, a sentence each."""
    if plan.pictures is not None:
        lost = plan.pictures - rendition.video.packets
        if lost > max(_UNTOLD_PICTURES, _UNTOLD_SHARE * plan.pictures):
            yield f"{lost} of the source's {plan.pictures} pictures could not be decoded and are missing"
    if source.video.restarts:
        yield f"parts of the source whose clock starts anew, played one after another: {len(source.video.restarts) + 1}"
    if source.other_videos:
        yield f"further video streams of the source, which are not used: {source.other_videos}"
    unused = len(source.other_sounds) - len({sound.index for sound in plan.other_sounds} - {plan.audio_index})
    if unused:
        yield f"further sounds of the source, which are not used: {unused}"
    rest = source.media_end - max(track.end for track in (source.video, source.audio) if track is not None)
    streaming = source.container in STREAMING_CONTAINERS
    if (rest > _UNTOLD_SECONDS and not source.video.restarts) or (streaming and source.covered < _COVERED):
        yield "the source goes on in other streams after those that are used have ended; that part is missing"
    yield from _colour_warnings(source, plan)
    if plan.sound is not None and plan.sound.folded and source.audio is not None:
        yield f"the {source.audio.channels} channels of the source's sound are folded to 2"
    if plan.picture.frame_rate_limit is not None:
        rate = source.video.frame_rate
        yield f"the source has {rate:.4g} pictures a second; {plan.picture.frame_rate_limit:g} of them are kept"
    for rung in plan.rungs:
        if rung.aim is not None and (rung.vmaf is None or rung.vmaf < rung.aim.score):
            reached = "could not be measured" if rung.vmaf is None else f"came to {rung.vmaf:.1f} on samples"
            yield (
                f"{rung.name}: VMAF {reached}, where {rung.aim.score:g} is wanted, with quality {rung.coding.level} of "
                f"{rung.aim.best} to {rung.aim.worst} under {rung.max_bitrate} bits per second"
            )


def _colour_warnings(source: Media, plan: TranscodePlan) -> Iterator[str]:
    found = gamut(source.video.colour)
    if found is Gamut.HDR and plan.picture.mapped:
        yield "the source's HDR is mapped to the range of BT.709"
    elif found is Gamut.HDR:
        yield "the source's HDR is kept without being mapped, and looks pale or dark (JOBKIT_TRANSCODE_HDR=keep)"
    elif found is Gamut.WIDE:
        yield "the source's colours, which are wider or coded in a rarer way, are mapped to BT.709"


def _rendition(plan: TranscodePlan, number: int, media: Media, path: Path | None) -> Rendition:
    video, audio, rung = media.video, media.audio, plan.rungs[number]
    return Rendition(
        name=rung.name,
        width=video.width,
        height=video.height,
        frame_rate=round(video.frame_rate, 3),
        video_codec=video.codec,
        video_range=video_range(video.colour),
        encoder=rung.coding.encoder.name,
        audio_codec=None if audio is None else audio.codec,
        audio_channels=None if audio is None else audio.channels,
        codecs=codecs(media),
        duration=round(media.duration, 3),
        size=None if path is None else path.stat().st_size,
        blob=None if path is None else path.name,
        playlist=playlist_file(rung) if plan.hls else None,
        quality=rung.coding.level,
        vmaf=rung.vmaf,
    )


def _sounds(plan: TranscodePlan) -> Iterator[Sound]:
    for codec, listed in listed_sounds(plan).items():
        for folder, language, channels in listed:
            playlist = f"{folder}/{INDEX_FILE}"
            yield Sound(codecs=codec.told, channels=channels, language=language, playlist=playlist)


def _source_info(source: Media, size: int) -> SourceInfo:
    video, audio = source.video, source.audio
    return SourceInfo(
        container=source.container,
        size=size,
        duration=round(source.duration, 3),
        width=video.shown.width,
        height=video.shown.height,
        rotation=video.rotation,
        frame_rate=round(video.frame_rate, 3),
        video_codec=video.codec,
        audio_codec=None if audio is None else audio.codec,
        audio_channels=None if audio is None else audio.channels,
        sample_rate=None if audio is None else audio.sample_rate,
    )
