"""What is measured, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Course:
    """What is transcoded: `seconds` of video at `size`, to the rungs of `ladder`, in chunks of `chunk` seconds.

    Leases last `ttl` seconds.
    """

    seconds: float
    size: tuple[int, int]
    preset: str
    ladder: tuple[int, ...]
    chunk: float
    ttl: float

    def __str__(self) -> str:
        rungs = ", ".join(map(str, self.ladder))
        return f"{self.seconds:g} s of {self.size[0]} x {self.size[1]}, preset {self.preset}, rungs {rungs}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One run, by so many workers: seconds by the clock, and of the processor by all processes.

    `processor` is None where a worker was killed: what the programs that it had started have used, nobody is told.
    `memory` is the most that a worker's own process took, in bytes; `joining` are the seconds from the end of the last
    chunk to that of the job, None where nothing was split.
    """

    what: str
    workers: int
    wall: float
    processor: float | None
    memory: int | None = None
    joining: float | None = None
