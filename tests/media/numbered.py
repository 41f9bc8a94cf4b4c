"""Pictures that carry their number as a bar code, which survives any encoder: sources of them, and reading them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av

BITS, BAR = 8, 16
# Picture N has a bar for each bit of N.
NUMBERED = f"geq=lum='30+190*mod(floor(N/pow(2,floor(X/{BAR}))),2)':cb=128:cr=128"
SIZE = (BITS * BAR, 32)


def numbered_picture(rate: str) -> str:
    """Return the lavfi source of numbered pictures."""
    return f"color=black:size={SIZE[0]}x{SIZE[1]}:rate={rate},{NUMBERED}"


@dataclass(frozen=True)
class Shown:
    """One decoded picture: its number, and when it is shown, in seconds."""

    number: int
    time: float


def shown(path: Path) -> list[Shown]:
    """Return the pictures of a file in the order in which they are shown."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            grey = frame.reformat(format="gray", width=SIZE[0], height=SIZE[1])
            middle = SIZE[1] // 2 * grey.planes[0].line_size
            row = bytes(grey.planes[0])[middle : middle + SIZE[0]]
            bits = [row[BAR * bit + BAR // 2] > 125 for bit in range(BITS)]
            assert frame.time is not None
            found.append(Shown(sum(bit << place for place, bit in enumerate(bits)), frame.time))
    return found
