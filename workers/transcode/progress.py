"""How far a job is: what ffmpeg says of itself, and how the steps add up to one fraction."""

from __future__ import annotations

from dataclasses import dataclass


class FfmpegProgress:
    """Reads the stream that `-progress` writes: lines of `key=value`, in blocks that end with `progress=...`."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._block: dict[str, str] = {}
        self._latest: tuple[str, ...] = ()

    def feed(self, line: str) -> bool:
        """Take in one line; tell whether it ended a block that shows progress since the one before.

        ffmpeg writes blocks also while nothing happens: only a change is progress.
        """
        key, _, value = line.strip().partition("=")
        self._block[key] = value
        if key != "progress":
            return False
        block, self._block = self._block, {}
        # Named "ms" in older versions, which meant microseconds as well.
        stamp = block.get("out_time_us", block.get("out_time_ms", ""))
        # "N/A" until the first packet is written; negative where sound starts before the pictures.
        if stamp.removeprefix("-").isdigit():
            self.seconds = max(self.seconds, int(stamp) / 1_000_000)
        latest = (block.get("frame", ""), stamp, block.get("total_size", ""), value)
        moved = latest != self._latest
        self._latest = latest
        return moved


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a job, from fraction `start` of the whole to fraction `end`."""

    start: float
    end: float
    message: str

    def at(self, fraction: float) -> float:
        """Return the fraction of the whole job at `fraction` of this step."""
        return self.start + (self.end - self.start) * min(max(fraction, 0.0), 1.0)


# Sooner, an encoder has not got into its stride.
_TELLING_SECONDS = 2.0


def pace(step: Step, done: float, total: float, elapsed: float) -> str:
    """Return how fast a step goes, and when the whole job will be done, as words that follow the step's own.

    `done` of `total` seconds of video took `elapsed` seconds; nothing is said where that is too little to tell by.
    """
    if elapsed < _TELLING_SECONDS or not 0 < done <= total:
        return ""
    speed = done / elapsed
    rest = (total - done) / speed + total / speed * (1 - step.end) / (step.end - step.start)
    return f" at {speed:.2g} times its speed, about {_told(rest)} left"


def _told(seconds: float) -> str:
    for length, word in ((3600, "h"), (60, "min")):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.0f} {word}"
    return f"{seconds:.0f} s"


# Shares of the time that a job of some minutes takes; encoding is nearly all of it.
PROBE = Step(0.0, 0.02, "looking into the source")
AIM = Step(0.02, 0.02, "looking for the quality")
ENCODE = Step(0.02, 0.85, "encoding")
JOIN = Step(0.82, 0.85, "joining the chunks")
PACKAGE = Step(0.85, 0.9, "packaging")
VERIFY = Step(0.9, 0.97, "checking the outputs")
ENCRYPT = Step(0.97, 0.98, "encrypting")
STORE = Step(0.98, 1.0, "storing")
