"""Lines and bars as SVG, drawn by the server: what they show is said in words, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT = 240, 56


@dataclass(frozen=True, slots=True)
class Chart:
    """A line over time, oldest first. `words` say the latest value."""

    label: str
    words: str
    values: Sequence[float]

    @property
    def width(self) -> int:
        """The width of its box, in units of its own."""
        return _WIDTH

    @property
    def height(self) -> int:
        """The height of its box."""
        return _HEIGHT

    @property
    def line(self) -> str:
        """The points of the line."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in self._points())

    @property
    def area(self) -> str:
        """The points of what is under the line."""
        points = self._points()
        return f"{points[0][0]:.1f},{_HEIGHT} {self.line} {points[-1][0]:.1f},{_HEIGHT}" if points else ""

    def _points(self) -> list[tuple[float, float]]:
        if len(self.values) < 2:
            return []
        top = max(*self.values, 1e-9)
        step = _WIDTH / (len(self.values) - 1)
        return [(at * step, _HEIGHT - 3 - (_HEIGHT - 6) * value / top) for at, value in enumerate(self.values)]


def known(values: Sequence[float | None]) -> Sequence[float]:
    """Return those of a line's values that are known: where one could not be asked for, the line is no lower."""
    return [value for value in values if value is not None]
