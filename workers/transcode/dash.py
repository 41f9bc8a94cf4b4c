"""The DASH manifest (ISO/IEC 23009-1) over the segments of the HLS package: the same files, named a second time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from xml.sax.saxutils import quoteattr

from workers.transcode.ladder import Size

# Microseconds: those that the lengths in an HLS playlist have.
TIMESCALE = 1_000_000
_BT709 = 1
_CLEAR_KEY = "urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e"
_TRANSFER_SCHEME = "urn:mpeg:mpegB:cicp:TransferCharacteristics"


@dataclass(frozen=True, slots=True)
class Pictures:
    """One rendition's segments of pictures, in `folder`. `bandwidth` is in bits per second.

    `transfer` is a code point of ISO/IEC 23091-2; a player that does not know those of HDR leaves such pictures alone.
    """

    folder: str
    bandwidth: int
    codecs: str
    size: Size
    frame_rate: float
    transfer: int = _BT709

    @property
    def kind(self) -> tuple[str, int]:
        """What all renditions of a set share: a player changes between those of one set only."""
        return self.codecs.partition(".")[0], self.transfer


@dataclass(frozen=True, slots=True)
class Sound:
    """The segments of one sound, in `folder`, each with its length in seconds. The `main` one is the source's own."""

    folder: str
    bandwidth: int
    codecs: str
    channels: int
    sample_rate: int
    language: str | None
    durations: tuple[float, ...]
    main: bool


@dataclass(frozen=True, slots=True)
class Text:
    """One text, as a WebVTT file. `forced` ones are meant for everybody."""

    file: str
    language: str | None
    forced: bool


@dataclass(frozen=True, slots=True)
class Protection:
    """How samples are encrypted: `cenc` or `cbcs`, with the key of an id, a UUID."""

    scheme: str
    key_id: str

    def lines(self) -> list[str]:
        """Return what a set of pictures or sound says of it."""
        return [
            '      <ContentProtection xmlns:cenc="urn:mpeg:cenc:2013" schemeIdUri="urn:mpeg:dash:mp4protection:2011" '
            f'value="{self.scheme}" cenc:default_KID="{self.key_id}"/>',
            f'      <ContentProtection schemeIdUri="{_CLEAR_KEY}" value="ClearKey1.0"/>',
        ]


def manifest(
    pictures: Sequence[Pictures],
    durations: Sequence[float],
    sounds: Sequence[Sound],
    texts: Sequence[Text],
    buffer: float,
    protection: Protection | None = None,
) -> str:
    """Return the text of a manifest of renditions whose segments all last `durations`; `buffer` is in seconds."""
    protected = [] if protection is None else protection.lines()
    length = max(sum(durations), *(sum(sound.durations) for sound in sounds), 0.0)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'profiles="urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019" '
        f'mediaPresentationDuration="PT{length:.6f}S" minBufferTime="PT{buffer:g}S">',
        '  <Period id="0" start="PT0S">',
    ]
    kinds = list(dict.fromkeys(each.kind for each in pictures))
    for number, kind in enumerate(kinds):
        lines += _picture_set(number, [each for each in pictures if each.kind == kind], durations, protected)
    for number, sound in enumerate(sounds, len(kinds)):
        language = _language(sound.language)
        role = "main" if sound.main else "alternate"
        lines += [
            f'    <AdaptationSet id="{number}" contentType="audio" mimeType="audio/mp4"{language} '
            'segmentAlignment="true" startWithSAP="1">',
            *protected,
            '      <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" '
            f'value="{sound.channels}"/>',
            f'      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="{role}"/>',
            *_template(sound.durations),
            f'      <Representation id={quoteattr(sound.folder)} bandwidth="{sound.bandwidth}" '
            f'codecs="{sound.codecs}" audioSamplingRate="{sound.sample_rate}"/>',
            "    </AdaptationSet>",
        ]
    for number, text in enumerate(texts, len(kinds) + len(sounds)):
        role = "forced-subtitle" if text.forced else "subtitle"
        lines += [
            f'    <AdaptationSet id="{number}" contentType="text" mimeType="text/vtt"{_language(text.language)}>',
            f'      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="{role}"/>',
            f'      <Representation id="text-{number}" bandwidth="1000">',
            f"        <BaseURL>{text.file}</BaseURL>",
            "      </Representation>",
            "    </AdaptationSet>",
        ]
    return "\n".join([*lines, "  </Period>", "</MPD>"]) + "\n"


def _picture_set(
    number: int, pictures: Sequence[Pictures], durations: Sequence[float], protected: Sequence[str]
) -> list[str]:
    lines = [
        f'    <AdaptationSet id="{number}" contentType="video" mimeType="video/mp4" segmentAlignment="true" '
        'startWithSAP="1">',
        *protected,
    ]
    if pictures[0].transfer != _BT709:
        lines.append(f'      <EssentialProperty schemeIdUri="{_TRANSFER_SCHEME}" value="{pictures[0].transfer}"/>')
    lines += _template(durations)
    for each in pictures:
        rate = Fraction(each.frame_rate).limit_denominator(1001)
        lines.append(
            f'      <Representation id={quoteattr(each.folder)} bandwidth="{each.bandwidth}" codecs="{each.codecs}" '
            f'width="{each.size.width}" height="{each.size.height}" sar="1:1" '
            f'frameRate="{rate.numerator}/{rate.denominator}"/>'
        )
    return [*lines, "    </AdaptationSet>"]


def _language(code: str | None) -> str:
    return "" if code is None else f" lang={quoteattr(code)}"


def _template(durations: Sequence[float]) -> list[str]:
    lines = [
        f'      <SegmentTemplate timescale="{TIMESCALE}" startNumber="0" '
        'initialization="$RepresentationID$/init.mp4" media="$RepresentationID$/$Number%05d$.m4s">',
        "        <SegmentTimeline>",
    ]
    for ticks, run in groupby(round(duration * TIMESCALE) for duration in durations):
        repeats = len(list(run)) - 1
        lines.append(f'          <S d="{ticks}"' + (f' r="{repeats}"' if repeats else "") + "/>")
    return [*lines, "        </SegmentTimeline>", "      </SegmentTemplate>"]
