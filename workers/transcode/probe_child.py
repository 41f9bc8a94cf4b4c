"""Looks into media files, in a process of its own: files are not trusted, and decoders have crashed before.

It judges nothing: it reports facts, or the kind of problem a file has. It imports nothing of jobkit. `main` takes one
argument, a JSON list of `workers.transcode.probe.ProbeTask`. Answers with lines of JSON:
`{"beat": seconds}` now and then, and `{"facts": {...}}` or `{"problem": "..."}` for each task, in order.

Not decoding means: demux all of it, and decode some pictures here and there, whose properties are the true ones.
Decoding means: all of it, strictly. `packages` are folders of segments by handler, compared with the file's packets.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from workers.transcode.beat import Beat, say
from workers.transcode.finished import pictures_digest
from workers.transcode.probe_file import head, index_beyond_end, known_end, told_format, unreadable
from workers.transcode.probe_track import Parts, Track
from workers.transcode.segment_check import package_problems

# A file with this many packets and no picture has none worth waiting for.
_PACKETS_WITHOUT_PICTURE = 2_000
# In these, clocks may start anew in the middle (two recordings in one file); players and ffmpeg play on.
_RESTARTING_CLOCKS = {"mpegts", "mpeg"}
# Damage shows in what a stream says. The last filter only smooths pictures that nobody looks at here, which takes a
# fifth of the time.
_QUICKLY = {"skip_loop_filter": "all"}
_STRICTLY = {**_QUICKLY, "err_detect": "explode"}
# Sounds and texts beside the chosen ones that are looked at.
_MOST_OTHERS = 32
_TEXT_CODECS = {"subrip", "ass", "ssa", "webvtt", "mov_text", "text", "srt"}
# Whether a video is interlaced can change within it: so many packets are decoded at the beginning of each part.
_PARTS, _PACKETS_OF_PART = 8, 16


class Problem(Exception):
    """This file cannot be used; the argument is one of the words that `workers.transcode.probe` explains."""


class _EmptyStream(Exception):
    """The stream that a player would show holds nothing; the argument is its number."""


def choose(streams: Sequence[VideoStream] | Sequence[AudioStream]) -> Any:
    """Return the stream that a player would show, or None: the default one, then the largest, then the first."""

    def rank(stream: VideoStream | AudioStream) -> tuple[bool, bool, int, int]:
        context = stream.codec_context
        size = 0
        if context is not None:
            size = stream.width * stream.height if isinstance(stream, VideoStream) else stream.channels
        return context is not None, bool(stream.disposition & Disposition.default), size, -stream.index

    return max(streams, key=rank, default=None)


def examine(
    path: str,
    formats: str,
    decode: bool,
    threads: int,
    packages: Mapping[str, str],
    sound_only: bool,
    cell_seconds: float,
    digest: bool,
    known: bool,
) -> dict[str, Any]:
    """Return the facts of one file. Raises `Problem`."""
    empty: set[int] = set()
    while True:
        with _opened(path, formats) as container:
            if sound_only:
                return _sound_facts(container, packages)
            # The control chunk of an animation comes before the picture's data; without it a PNG is one picture.
            if container.format.name == "apng" and b"acTL" not in head(path).partition(b"IDAT")[0]:
                raise Problem("not-media")
            try:
                facts = _facts(container, decode, threads, packages, empty, cell_seconds, known)
                return facts | {"digest": pictures_digest(Path(path.removeprefix("file:"))) if digest else ""}
            except _EmptyStream as found:
                # Announced as the default, but without a picture: players show another.
                empty.add(*found.args)


def _opened(path: str, formats: str) -> InputContainer:
    try:
        return av.open(
            path,
            container_options={"format_whitelist": formats, "protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except FileNotFoundError as error:
        raise Problem("missing") from error
    except (av.error.InvalidDataError, av.error.ArgumentError, av.error.EOFError) as error:
        raise Problem(unreadable(path)) from error


def _facts(
    container: InputContainer,
    decode: bool,
    threads: int,
    packages: Mapping[str, str],
    empty: Collection[int],
    cell_seconds: float,
    known: bool,
) -> dict[str, Any]:
    pictures = Disposition.attached_pic | Disposition.timed_thumbnails
    videos = [stream for stream in container.streams.video if not stream.disposition & pictures]
    video = choose([stream for stream in videos if stream.index not in empty])
    if video is None and empty:
        raise Problem("no-picture")
    audio = choose(container.streams.audio)
    if video is None:
        raise Problem("no-video" if not container.streams.video else "only-cover-art")
    for stream in (video, audio):
        if stream is not None and stream.codec_context is None:
            raise Problem("unknown-video-codec" if stream is video else "unknown-audio-codec")
    if "mov" in container.format.name and index_beyond_end(container):
        raise Problem("cut-short")
    for stream in (video, audio):
        if stream is not None:
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = threads
            stream.codec_context.options = _STRICTLY if decode else _QUICKLY
    scan = _Scan(container, video, audio, decode, known)
    if decode:
        scan.video.known_end = known_end(container.name)
    scan.run()
    return {
        "container": container.format.name,
        "origin": (container.start_time or 0) / av.time_base,
        "covered": scan.last_position / max(container.size, 1),
        "declared": container.duration / av.time_base if container.duration else None,
        "end": scan.end,
        "media_end": scan.media_end,
        "video": {
            **_video_facts(scan, told_format(container.name) if decode else None),
            "cells": scan.cells(cell_seconds) if cell_seconds else (),
        },
        "audio": None if scan.audio is None else _audio_facts(scan.audio, scan.samples),
        "other_videos": len(videos) - len(empty) - 1,
        "other_sounds": scan.other_sounds(),
        "texts": _texts(container),
        "package_problems": scan.compare(packages),
    }


class _Scan:
    """One pass over a file."""

    def __init__(
        self, container: InputContainer, video: VideoStream, audio: AudioStream | None, decode: bool, known: bool
    ) -> None:
        restarting = container.format.name in _RESTARTING_CLOCKS
        self.container = container
        parts = Parts()
        self.video = Track(video, restarting, parts)
        self.audio = None if audio is None else Track(audio, restarting, parts)
        self.end = 0.0
        self.media_end = 0.0
        self.last_position = 0
        self.picture: av.VideoFrame | None = None
        self.pictures = 0
        self.samples = 0
        self._decode = decode
        self._known = known
        self._others = [
            Track(stream, restarting, parts)
            for stream in container.streams.audio[:_MOST_OTHERS]
            if stream is not audio and stream.codec_context is not None and not decode
        ]
        self._tracks = {
            track.stream.index: track for track in (self.video, self.audio, *self._others) if track is not None
        }
        self.interlaced = False
        self._part = 0
        self._left = _PACKETS_WITHOUT_PICTURE

    def run(self) -> None:
        beat = Beat()
        try:
            for packet in self.container.demux():
                # The empty packets at the end have no index of their own.
                track = self._tracks.get(packet.stream.index)
                # The last, empty packet of a stream asks the decoder for what it still holds.
                if packet.size and track is not None:
                    track.add(packet, detailed=self._decode)
                    if track in (self.video, self.audio):
                        self.last_position = max(self.last_position, (packet.pos or 0) + packet.size)
                    beat.at(track.reached)
                if packet.pts is not None:
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    self.end = max(self.end, end)
                    # Subtitles may say that they last for ever.
                    if packet.stream.type in ("video", "audio"):
                        self.media_end = max(self.media_end, end)
                if track is not None and self._wants(track, packet):
                    self._decode_packet(packet)
        except av.error.InvalidDataError as error:
            # What lies behind is lost. Whether that matters is told by how far it came.
            if self._decode:
                raise Problem("broken-data") from error
        if not self.video.packets:
            raise _EmptyStream(self.video.stream.index)
        if self.picture is None:
            raise Problem("no-picture")
        if self.audio is not None and not self.audio.packets:
            # A stream that is announced but empty is no sound.
            heard = [track.stream for track in self._others if track.packets]
            chosen = choose([stream for stream in heard if isinstance(stream, AudioStream)])
            self.audio = None if chosen is None else self._tracks[chosen.index]

    def compare(self, packages: Mapping[str, str]) -> list[str]:
        """Tell what is wrong with the packages of this file, each with its folder's name."""
        tracks = {"vide": self.video, "soun": self.audio}
        return [
            f"{folder}: {problem}"
            for handler, folder in packages.items()
            if (track := tracks[handler]) is not None
            for problem in package_problems(Path(folder), handler, track.expected)
        ]

    def cells(self, seconds: float) -> list[int]:
        """Return how many pictures there are in each cell of so many seconds, from where the earlier stream starts."""
        starts = [track.summary()["start"] for track in (self.video, self.audio) if track is not None and track.packets]
        return self.video.cells(min(starts), seconds)

    def other_sounds(self) -> list[dict[str, Any]]:
        """Return the sounds that were not chosen; one that is announced but empty is none."""
        return [
            {
                "index": track.stream.index,
                "language": track.stream.language,
                "channels": track.stream.codec_context.layout.nb_channels,
                "start": track.start,
                "end": track.end,
                "restarts": track.restarts,
                "joined": track.joined,
            }
            for track in self._others
            if track.packets and track is not self.audio and isinstance(track.stream, AudioStream)
        ]

    @property
    def decoded(self) -> int:
        """How many pictures are known to be decodable."""
        return self.video.packets if self._known else self.pictures

    def _wants(self, track: Track, packet: Packet[Any]) -> bool:
        if self._known and track is self.video:
            return self.picture is None
        if self._decode:
            return True
        if track is not self.video:
            return False
        part = int(_PARTS * (packet.pos or 0) / max(self.container.size, 1))
        if self.picture is not None and packet.is_keyframe and part > self._part:
            self._part, self._left = part, _PACKETS_OF_PART
            track.stream.codec_context.flush_buffers()
        self._left -= 1
        # The empty packet at the end asks for what the decoder still holds.
        return self._left >= 0 or not packet.size

    def _decode_packet(self, packet: Packet[Any]) -> None:
        try:
            frames: Sequence[object] = packet.decode()
        except av.error.FFmpegError as error:
            # Decoders have error codes of their own. Only a lack of memory says nothing about the file.
            if isinstance(error, MemoryError):
                raise
            # A source may begin in the middle of things; our own files may not.
            if self._decode:
                raise Problem("broken-data") from error
            return
        for frame in frames:
            if isinstance(frame, av.VideoFrame):
                if self._decode and frame.is_corrupt:
                    raise Problem("broken-data")
                self.pictures += 1
                if self.picture is None:
                    self.picture = frame
                    self._left = min(self._left, _PACKETS_OF_PART)
                self.interlaced = self.interlaced or frame.interlaced_frame
            elif isinstance(frame, av.AudioFrame):
                self.samples += frame.samples


def _video_facts(scan: _Scan, told: str | None) -> dict[str, Any]:
    track, picture = scan.video, scan.picture
    assert picture is not None  # noqa: S101  (narrows the type: a scan without one raised)
    stream = track.stream
    assert isinstance(stream, VideoStream)  # noqa: S101  (narrows the type)
    aspect = stream.sample_aspect_ratio or Fraction(1)
    return {
        **track.summary(),
        "index": stream.index,
        "codec": stream.codec_context.codec.canonical_name,
        "told": told,
        "width": picture.width,
        "height": picture.height,
        "pixel_aspect": [aspect.numerator, aspect.denominator],
        # PyAV counts counter-clockwise, from -180 to 180.
        "rotation": round(-picture.rotation) % 360,
        "pixel_format": picture.format.name,
        "interlaced": scan.interlaced,
        "decoded": scan.decoded,
        "colour": [
            int(picture.colorspace),
            int(stream.codec_context.color_primaries),
            int(stream.codec_context.color_trc),
            int(picture.color_range),
        ],
        **track.pictures(),
    }


def _audio_facts(track: Track, samples: int) -> dict[str, Any]:
    stream = track.stream
    assert isinstance(stream, AudioStream)  # noqa: S101  (narrows the type)
    context = stream.codec_context
    return {
        **track.summary(),
        "index": stream.index,
        "codec": context.codec.canonical_name,
        "language": stream.language,
        "profile": context.profile,
        "channels": context.layout.nb_channels,
        "sample_rate": context.sample_rate,
        "decoded": samples,
    }


def _texts(container: InputContainer) -> list[dict[str, Any]]:
    return [
        {
            "index": stream.index,
            "language": stream.language,
            "default": bool(stream.disposition & Disposition.default),
            "forced": bool(stream.disposition & Disposition.forced),
        }
        for stream in container.streams.subtitles[:_MOST_OTHERS]
        if stream.codec_context is not None and stream.codec_context.name in _TEXT_CODECS
    ]


def _sound_facts(container: InputContainer, packages: Mapping[str, str]) -> dict[str, Any]:
    """Return the facts of a file of one sound, decoded strictly."""
    if not container.streams.audio:
        raise Problem("no-sound")
    stream = container.streams.audio[0]
    stream.codec_context.options = {"err_detect": "explode"}
    track, samples, beat = Track(stream, restarting=False), 0, Beat()
    try:
        for packet in container.demux(stream):
            if packet.size:
                track.add(packet, detailed=True)
                beat.at(track.reached)
            samples += sum(frame.samples for frame in packet.decode())
    except av.error.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
        raise Problem("broken-data") from error
    problems = [
        f"{folder}: {problem}"
        for handler, folder in packages.items()
        for problem in package_problems(Path(folder), handler, track.expected)
    ]
    return {"audio": _audio_facts(track, samples), "package_problems": problems}


def main(arguments: list[str]) -> int:
    """Answer each task; a problem with one does not keep the others from being answered."""
    # PyAV's logging stays off, as it is by default: at any level, even the quietest, decoder threads take the
    # interpreter's lock to log, and closing a decoder, which holds it, then waits for them for ever.
    for task in json.loads(arguments[0]):
        try:
            say({"facts": examine(**task)})
        except Problem as problem:
            say({"problem": str(problem)})
    return 0
