"""Looks into media files, in a process of its own: files are not trusted, and decoders have crashed before.

It judges nothing: it reports facts, or the kind of problem a file has. Run as a script, by path; imports nothing of
jobkit. `probe_child.py TASKS`, where TASKS is a JSON list of `{path, formats, decode, threads}`. Answers with lines
of JSON: `{"beat": seconds}` now and then, and `{"facts": {...}}` or `{"problem": "..."}` for each task, in order.

Not decoding means: demux all of it, and decode until there is one picture, whose properties are the true ones.
Decoding means: all of it, strictly.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

_BEAT_SECONDS = 0.5
# A file with this many packets and no picture has none worth waiting for.
_PACKETS_WITHOUT_PICTURE = 2_000
# In these, clocks may start anew in the middle (two recordings in one file); players and ffmpeg play on.
_RESTARTING_CLOCKS = {"mpegts", "mpeg"}
_JUMP_FORWARD_SECONDS, _JUMP_BACK_SECONDS = 10.0, 0.1


class Problem(Exception):
    """This file cannot be used; the argument is one of the words that `workers.transcode.probe` explains."""


class Beat:
    """Says that work goes on, without saying so too often."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def at(self, seconds: float) -> None:
        """Report having come to `seconds` into the file."""
        now = time.monotonic()
        if now - self._last >= _BEAT_SECONDS:
            self._last = now
            _say({"beat": round(seconds, 3)})


class Track:
    """What the packets of one stream add up to. Times are in seconds."""

    def __init__(self, stream: VideoStream | AudioStream, restarting: bool) -> None:
        self.stream = stream
        self.packets = 0
        self.start: float | None = None
        self.key_start: float | None = None
        self.last = 0.0
        self.end = 0.0
        self.longest_gap = 0.0
        self.keyframes: list[float] = []
        self.digest = hashlib.sha256()
        self._restarting = restarting
        self._offset = 0.0
        self._previous: float | None = None

    def add(self, packet: Packet[Any], *, detailed: bool) -> None:
        """Take one packet into account; `detailed` costs time for each of its bytes."""
        self.packets += 1
        if detailed:
            self.digest.update(bytes(packet))
        stamp = packet.dts if packet.dts is not None else packet.pts
        # What an edit list leaves out is decoded, but not shown.
        if stamp is None or packet.is_discard:
            return
        clock = float(stamp * packet.time_base)
        step = 0.0 if self._previous is None else clock - self._previous
        self._previous = clock
        if self._restarting and not -_JUMP_BACK_SECONDS <= step <= _JUMP_FORWARD_SECONDS:
            self._offset -= step
            step = 0.0
        self.longest_gap = max(self.longest_gap, step)
        shown = float((packet.pts if packet.pts is not None else stamp) * packet.time_base) + self._offset
        self.start = shown if self.start is None else min(self.start, shown)
        if packet.is_keyframe:
            self.key_start = shown if self.key_start is None else min(self.key_start, shown)
            if detailed and self.stream.type == "video":
                self.keyframes.append(round(shown, 4))
        self.last = max(self.last, shown)
        self.end = max(self.end, shown + float((packet.duration or 0) * packet.time_base))

    def times(self) -> dict[str, Any]:
        """Return where the stream lies. A video starts with its first keyframe: before it nothing can be decoded."""
        video_start = self.start if self.key_start is None else self.key_start
        return {
            "start": video_start if self.stream.type == "video" else self.start,
            "last": self.last,
            "end": self.end,
            "longest_gap": self.longest_gap,
            "packets": self.packets,
            "keyframes": self.keyframes,
            "sha256": self.digest.hexdigest(),
        }


def choose(streams: Sequence[VideoStream] | Sequence[AudioStream]) -> Any:
    """Return the stream that a player would show, or None: the default one, then the largest, then the first."""

    def rank(stream: VideoStream | AudioStream) -> tuple[bool, bool, int, int]:
        context = stream.codec_context
        size = 0
        if context is not None:
            size = stream.width * stream.height if isinstance(stream, VideoStream) else stream.channels
        return context is not None, bool(stream.disposition & Disposition.default), size, -stream.index

    return max(streams, key=rank, default=None)


def examine(path: str, formats: str, decode: bool, threads: int) -> dict[str, Any]:
    """Return the facts of one file. Raises `Problem`."""
    try:
        container = av.open(
            path,
            container_options={"format_whitelist": formats, "protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except (av.error.InvalidDataError, av.error.ArgumentError, av.error.EOFError) as error:
        raise Problem("no-index" if _begins_like_mp4(path) else "not-media") from error
    with container:
        return _facts(container, decode, threads)


def _facts(container: InputContainer, decode: bool, threads: int) -> dict[str, Any]:
    pictures = Disposition.attached_pic | Disposition.timed_thumbnails
    video = choose([stream for stream in container.streams.video if not stream.disposition & pictures])
    audio = choose(container.streams.audio)
    if video is None:
        raise Problem("no-video" if not container.streams.video else "only-cover-art")
    for stream in (video, audio):
        if stream is not None and stream.codec_context is None:
            raise Problem("unknown-video-codec" if stream is video else "unknown-audio-codec")
    if "mov" in container.format.name and _index_beyond_end(container):
        raise Problem("cut-short")
    for stream in (video, audio):
        if stream is not None:
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = threads
            if decode:
                stream.codec_context.options = {"err_detect": "explode"}
    scan = _Scan(container, video, audio, decode)
    scan.run()
    return {
        "container": container.format.name,
        "declared": container.duration / av.time_base if container.duration else None,
        "end": scan.end,
        "video": _video_facts(scan),
        # A stream that is announced but empty is no sound.
        "audio": None if scan.audio is None or not scan.audio.packets else _audio_facts(scan.audio, scan.samples),
    }


class _Scan:
    """One pass over a file."""

    def __init__(self, container: InputContainer, video: VideoStream, audio: AudioStream | None, decode: bool) -> None:
        restarting = container.format.name in _RESTARTING_CLOCKS
        self.container = container
        self.video = Track(video, restarting)
        self.audio = None if audio is None else Track(audio, restarting)
        self.end = 0.0
        self.picture: av.VideoFrame | None = None
        self.pictures = 0
        self.samples = 0
        self._decode = decode
        self._tracks = {track.stream.index: track for track in (self.video, self.audio) if track is not None}

    def run(self) -> None:
        beat = Beat()
        try:
            for packet in self.container.demux():
                track = self._tracks.get(packet.stream_index)
                # The last, empty packet of a stream asks the decoder for what it still holds.
                if packet.size and track is not None:
                    track.add(packet, detailed=self._decode)
                    beat.at(track.end)
                if packet.pts is not None:
                    self.end = max(self.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if track is not None and self._wants(track):
                    self._decode_packet(packet)
        except av.error.InvalidDataError as error:
            # What lies behind is lost. Whether that matters is told by how far it came.
            if self._decode:
                raise Problem("broken-data") from error
        if self.picture is None:
            raise Problem("no-picture")

    def _wants(self, track: Track) -> bool:
        if self._decode:
            return True
        return track is self.video and self.picture is None and track.packets <= _PACKETS_WITHOUT_PICTURE

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
                self.picture = self.picture or frame
            elif isinstance(frame, av.AudioFrame):
                self.samples += frame.samples


def _video_facts(scan: _Scan) -> dict[str, Any]:
    track, picture = scan.video, scan.picture
    assert picture is not None  # noqa: S101  (narrows the type: a scan without one raised)
    stream = track.stream
    assert isinstance(stream, VideoStream)  # noqa: S101  (narrows the type)
    aspect = stream.sample_aspect_ratio or Fraction(1)
    return {
        **track.times(),
        "index": stream.index,
        "codec": stream.codec_context.name,
        "profile": _h264_profile(bytes(stream.codec_context.extradata or b"")),
        "width": picture.width,
        "height": picture.height,
        "pixel_aspect": [aspect.numerator, aspect.denominator],
        # PyAV counts counter-clockwise, from -180 to 180.
        "rotation": round(-picture.rotation) % 360,
        "pixel_format": picture.format.name,
        "interlaced": bool(picture.interlaced_frame),
        "decoded": scan.pictures,
    }


def _audio_facts(track: Track, samples: int) -> dict[str, Any]:
    stream = track.stream
    assert isinstance(stream, AudioStream)  # noqa: S101  (narrows the type)
    context = stream.codec_context
    return {
        **track.times(),
        "index": stream.index,
        "codec": context.name,
        "profile": context.profile,
        "channels": context.layout.nb_channels,
        "sample_rate": context.sample_rate,
        "decoded": samples,
    }


def _h264_profile(extradata: bytes) -> str | None:
    """Return profile, constraints and level as six hex digits (RFC 6381), of an avcC box's content."""
    return extradata[1:4].hex().upper() if len(extradata) >= 4 and extradata[0] == 1 else None


def _index_beyond_end(container: InputContainer) -> bool:
    """Tell whether the index of an MP4 names bytes that the file does not have."""
    size = container.size
    return any(
        entry.pos + entry.size > size
        for stream in (*container.streams.video, *container.streams.audio)
        for entry in stream.index_entries
    )


def _begins_like_mp4(path: str) -> bool:
    with open(path.removeprefix("file:"), "rb") as file:  # noqa: PTH123  (a Path would spoil odd names)
        file.seek(0)
        return file.read(8)[4:] == b"ftyp"


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def main(arguments: list[str]) -> int:
    """Answer each task; a problem with one does not keep the others from being answered."""
    # PyAV's logging stays off, as it is by default: at any level, even the quietest, decoder threads take the
    # interpreter's lock to log, and closing a decoder, which holds it, then waits for them for ever.
    for task in json.loads(arguments[0]):
        try:
            _say({"facts": examine(**task)})
        except Problem as problem:
            _say({"problem": str(problem)})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
