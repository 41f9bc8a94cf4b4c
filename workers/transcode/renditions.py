"""Which renditions a source gets of each way of coding that a profile has. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from workers.transcode.encoders import LIBX264, Coding
from workers.transcode.ladder import HIGHEST_RUNG, LOWEST_RUNG, Rung, Size, choose_rungs, is_fast
from workers.transcode.profile import LadderStep, Profile, VideoProfile
from workers.transcode.quality_search import Aim
from workers.transcode.settings import TranscodeSettings


@dataclass(frozen=True, slots=True)
class Way:
    """One way of coding: for which steps of a ladder, and under what ceilings of bits per second.

    `share` is of the ceilings of `steps`, and of the plugin's own formula where those have none. With an `aim`, the
    level of the coding is only where the search for one begins.
    """

    coding: Coding
    smallest: int = LOWEST_RUNG
    largest: int = HIGHEST_RUNG
    share: float = 1.0
    steps: tuple[LadderStep, ...] = ()
    aim: Aim | None = None

    def distance(self, rung: Rung) -> int:
        """Return by how many pixels a step of the ladder is too small or too large."""
        return abs(min(max(rung.size.short, self.smallest), self.largest) - rung.size.short)

    def max_bitrate(self, rung: Rung, *, fast: bool) -> int:
        """Return the ceiling of a rendition."""
        of_step = next((step.ceiling(fast=fast) for step in self.steps if step.size == rung.size.short), None)
        return round(self.share * (of_step or rung.max_bitrate))


def plain_way(settings: TranscodeSettings) -> Way:
    """Return the way that there is without a profile: H.264 by x264, as the settings have it."""
    return Way(Coding(LIBX264, settings.preset, settings.crf))


def way(profile: Profile, video: VideoProfile, coding: Coding, *, measured: bool = True) -> Way:
    """Return the way that a profile wants, with the coding that was found for it; its aim only where it is measured."""
    aim = video.aim if measured else None
    return Way(coding, video.smallest, video.largest, video.share, profile.steps, aim)


def choose_renditions(
    source: Size, ladder: Sequence[int], frame_rate: float, ways: Sequence[Way], *, hdr: bool, keep_size: bool
) -> tuple[Rung, ...]:
    """Return the renditions of a source shown at `source`, by way, the largest first.

    Ways that keep HDR are for sources that have it. The first way always has a rendition, however small the source is.
    """
    rungs = choose_rungs(source, ladder, frame_rate, keep_size=keep_size)
    fast = is_fast(frame_rate)
    chosen: list[Rung] = []
    for number, each in enumerate(ways):
        if each.coding.hdr and not hdr:
            continue
        fitting = [rung for rung in rungs if each.distance(rung) == 0]
        if not fitting and number == 0:
            fitting = [min(rungs, key=each.distance)]
        chosen += [
            replace(
                rung,
                name=f"{rung.name}{each.coding.suffix}",
                max_bitrate=each.max_bitrate(rung, fast=fast),
                coding=each.coding,
                aim=each.aim,
            )
            for rung in fitting
        ]
    return tuple(chosen)
