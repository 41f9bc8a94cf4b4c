"""What the packets of one stream add up to, for the probing process: a part of it, which imports nothing of jobkit."""

from __future__ import annotations

import zlib
from array import array
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from math import inf
from typing import Any

from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.stream import VideoStream

from workers.transcode.cutting import CELL_SLACK
from workers.transcode.segment_check import Packet as Expected

# How far a clock may go in one step where it may start anew at any time.
_JUMP_FORWARD_SECONDS, _JUMP_BACK_SECONDS = 10.0, 0.1
# In all others decoding times never go back by this much, unless a recorder's clock started anew.
_RESTART_SECONDS = 1.0
# Pictures that are held for longer than this are told one by one; the longest, if there are very many.
_PAUSE_SECONDS, _MOST_PAUSES = 0.5, 1500
# Clocks that start anew more often are not followed.
_MOST_RESTARTS = 1000
# The highest rate is that of a stretch of about a second: two pictures may follow each other at any distance.
_RATE_SECONDS = 1.0


class Parts:
    """The recordings that follow one another in a file, each with a clock that starts anew, for all of its tracks.

    What belongs together stays together: all tracks go on from where the longest of them has ended.
    """

    def __init__(self) -> None:
        self.latest = 0
        self._offset = 0.0
        self._reached = 0.0

    def reach(self, time: float) -> None:
        """Note how far any of the tracks has come."""
        self._reached = max(self._reached, time)

    def next(self, before: int, begins: float) -> tuple[int, float]:
        """Return the number of the part that comes for a track after part `before`, and what is added to its clock.

        `begins` is what the clock says there.
        """
        if before == self.latest:
            self.latest += 1
            self._offset = self._reached - begins
        return self.latest, self._offset


class Track:
    """What the packets of one stream add up to. Times are in seconds."""

    def __init__(self, stream: VideoStream | AudioStream, restarting: bool, parts: Parts | None = None) -> None:
        self.stream = stream
        self.packets = 0
        self.start: float | None = None
        self.key_start: float | None = None
        self.last = 0.0
        self.reached = 0.0
        self.longest_gap = 0.0
        self.keyframes: list[float] = []
        self.times = array("d")
        self.before_key = 0
        self.restarts: list[float] = []
        self.joined = False
        self.expected: list[Expected] = []
        # Of files that were made here, whose edit lists say how long the last picture is shown.
        self.known_end: float | None = None
        self._hidden = _hides_pictures(stream)
        self._restarting = restarting
        self._parts = Parts() if parts is None else parts
        self._part = 0
        self._offset = 0.0
        self._previous: float | None = None
        self._reordered = False
        self._keyed = False
        self._last_end = 0.0

    def add(self, packet: Packet[Any], *, detailed: bool) -> None:
        """Take one packet into account; `detailed` costs time for each of its bytes."""
        self.packets += 1
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            return
        if packet.is_discard:
            # What an edit list leaves out is decoded, but not shown: what refers to it can be shown.
            self._keyed = self._keyed or packet.is_keyframe
            return
        clock = float(stamp * packet.time_base)
        step = 0.0 if self._previous is None else clock - self._previous
        self._previous = clock
        if self._restarting and not -_JUMP_BACK_SECONDS <= step <= _JUMP_FORWARD_SECONDS:
            self._offset -= step
            step = 0.0
            self.joined = True
        elif not self._restarting and packet.dts is not None and step < -_RESTART_SECONDS:
            step = 0.0
            if len(self.restarts) < _MOST_RESTARTS:
                self._part, self._offset = self._parts.next(self._part, clock)
                self.restarts.append(round(self._offset, 6))
        self.longest_gap = max(self.longest_gap, step)
        shown = float((packet.pts if packet.pts is not None else stamp) * packet.time_base) + self._offset
        self.start = shown if self.start is None else min(self.start, shown)
        if packet.is_keyframe or self._keyed:
            self.key_start = shown if self.key_start is None else min(self.key_start, shown)
        if packet.is_keyframe and detailed and self.stream.type == "video":
            self.keyframes.append(round(shown, 4))
        end = shown + float((packet.duration or 0) * packet.time_base)
        if shown < self.last:
            self._reordered = True
        else:
            self.last, self._last_end = shown, end
        self.reached = max(self.reached, end)
        self._parts.reach(end)
        if self.stream.type == "video":
            self._note_picture(packet, shown)
        if detailed and (shown >= 0 or self.stream.type == "video"):
            content = bytes(packet)
            self.expected.append(Expected(shown, len(content), zlib.crc32(content)))

    def _note_picture(self, packet: Packet[Any], shown: float) -> None:
        if self.key_start is None:
            self.before_key += 1
        # VP8 keeps pictures that are never shown in packets of their own.
        elif not (self._hidden and not bytes(packet)[0] & 0x10):
            self.times.append(shown)

    @property
    def end(self) -> float:
        """When the last picture or packet has been shown or heard."""
        if self.known_end is not None:
            return self.known_end
        if self.stream.type != "video":
            return self.reached
        if not self._reordered:
            return self._last_end
        # How long a picture out of order lasts is often told as when the next one is decoded, which may be long after
        # it is shown: no further than the stream is said to last, but as long as the shortest picture.
        times = sorted(self.times)
        shortest = min((later - earlier for earlier, later in pairwise(times) if later > earlier), default=0.0)
        return min(self._last_end, max(self._told_end(), self.last + shortest))

    def _told_end(self) -> float:
        """Return when the stream ends by what its container says, or minus infinity."""
        stream = self.stream
        if stream.duration is None or stream.time_base is None or self._offset:
            return -inf
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)

    def cells(self, start: float, seconds: float) -> list[int]:
        """Return how many pictures are shown in each cell of so many seconds, counted from `start`."""
        # As keyframes are forced: what lies a rounding error before a cell is in it.
        counts = Counter(int((time - start) / seconds + CELL_SLACK) for time in self.times)
        return [counts[number] for number in range(max(counts, default=-1) + 1)]

    def pictures(self) -> dict[str, Any]:
        """Return what the times of a video's pictures add up to."""
        times = sorted(self.times)
        held = [(later - earlier, earlier) for earlier, later in pairwise([*times, self.end]) if later > earlier]
        pauses = sorted((pause for pause in held if pause[0] > _PAUSE_SECONDS), reverse=True)[:_MOST_PAUSES]
        return {
            "shown_pictures": len(times),
            "pauses": sorted((round(at, 6), round(seconds, 6)) for seconds, at in pauses),
            "highest_rate": round(highest_rate(times), 3),
        }

    def summary(self) -> dict[str, Any]:
        """Return where the stream lies. A video starts with its first keyframe: before it nothing can be decoded."""
        video_start = self.start if self.key_start is None else self.key_start
        return {
            "start": video_start if self.stream.type == "video" else self.start,
            "last": self.last,
            "end": self.end,
            "longest_gap": self.longest_gap,
            "packets": self.packets,
            "keyframes": self.keyframes,
            "restarts": self.restarts,
            "joined": self.joined,
        }


def _hides_pictures(stream: VideoStream | AudioStream) -> bool:
    return stream.codec_context is not None and stream.codec_context.codec.canonical_name == "vp8"


def highest_rate(times: Sequence[float]) -> float:
    """Return the most pictures per second over any stretch of a second, or over all where there is less."""
    highest, first = 0.0, 0
    for last in range(1, len(times)):
        while first + 1 < last and times[last] - times[first + 1] >= _RATE_SECONDS - 1e-6:
            first += 1
        span = times[last] - times[first]
        if span >= _RATE_SECONDS - 1e-6:
            highest = max(highest, (last - first) / span)
    whole = times[-1] - times[0] if times else 0.0
    return highest or ((len(times) - 1) / whole if whole > 0 else 0.0)
