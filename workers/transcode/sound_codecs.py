"""The formats that sound is coded in: how ffmpeg is asked for each, and what players are told of it (RFC 6381)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from workers.transcode.box_reader import Box, MalformedMp4

SAMPLE_RATE = 48_000
# From the beginning of the body of `stsd` to its first entry, and from an audio sample entry's own to the boxes in it.
_ENTRY_AT, _AUDIO_ENTRY_BYTES = 8, 28
# Where `dOps` says how many samples a decoder is to leave out, behind its version and its number of channels.
_PRE_SKIP_AT, _PRE_SKIP_BYTES = 2, 2
# By how many samples libopus is late at 48 kHz.
_OPUS_DELAY = 312


class SoundCodec(StrEnum):
    """A format of sound."""

    AAC = "aac"
    OPUS = "opus"

    @property
    def told(self) -> str:
        """What a player is told of it; AAC is always of low complexity."""
        return {SoundCodec.AAC: "mp4a.40.2", SoundCodec.OPUS: "opus"}[self]


DEFAULT_CHANNEL_BITRATE = {SoundCodec.AAC: 80_000, SoundCodec.OPUS: 64_000}
_ENCODERS = {SoundCodec.AAC: "aac", SoundCodec.OPUS: "libopus"}


@dataclass(frozen=True, slots=True)
class SoundCoding:
    """How a sound is coded: its format, and how many bits per second each channel has."""

    codec: SoundCodec
    channel_bitrate: int

    def arguments(self, channels: int) -> list[str]:
        """Return the arguments for a sound of so many channels."""
        bits = str(self.channel_bitrate * channels)
        encoder = ["-c:a", _ENCODERS[self.codec], "-b:a", bits]
        return [*encoder, "-ar", str(SAMPLE_RATE), "-ac", str(channels), "-flags:a", "+bitexact"]

    @property
    def skipped_samples(self) -> int:
        """How many samples are left out at the beginning, so that the first packet begins at 0.

        An encoder that is late by less than a packet writes one that begins before 0, which no edit list cuts in
        segments. With so many samples less it is silent for as long, and then each sample is at its time. (To leave
        that packet out instead has a decoder begin in the middle, and be too quiet for some 60 ms.)
        """
        return _OPUS_DELAY if self.codec is SoundCodec.OPUS else 0


PLAIN_SOUND = SoundCoding(SoundCodec.AAC, DEFAULT_CHANNEL_BITRATE[SoundCodec.AAC])


def pre_skip(description: bytes) -> int:
    """Return how many samples a decoder leaves out at the beginning; `description` is the body of a `stsd` box.

    Raises `MalformedMp4`.
    """
    at = _pre_skip_at(description)
    return 0 if at is None else int.from_bytes(description[at : at + _PRE_SKIP_BYTES], "big")


def without_pre_skip(description: bytes) -> bytes:
    """Return a description of sound whose first packet is heard from its first sample on. Raises `MalformedMp4`."""
    at = _pre_skip_at(description)
    if at is None:
        return description
    return description[:at] + bytes(_PRE_SKIP_BYTES) + description[at + _PRE_SKIP_BYTES :]


def _pre_skip_at(description: bytes) -> int | None:
    """Return where the number of samples to leave out stands; None where the format has none."""
    entry = next(Box("stsd", 0, 0, memoryview(description), "stsd").children(skip=_ENTRY_AT), None)
    if entry is None or entry.kind != "Opus":
        return None
    details = next((child for child in entry.children(skip=_AUDIO_ENTRY_BYTES) if child.kind == "dOps"), None)
    if details is None or len(details.body) < _PRE_SKIP_AT + _PRE_SKIP_BYTES:
        raise MalformedMp4("its sound is Opus, without what a decoder needs to know (dOps)")
    return details.start + details.header + _PRE_SKIP_AT
