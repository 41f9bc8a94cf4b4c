"""The figures as bars, in SVG: how often its own speed a video is transcoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from workers.transcode.measuring.course import Course, Figure

_WIDTH, _LEFT, _ROW, _BAR, _TOP = 720, 250, 30, 18, 48
_COLOURS = {True: "#4c72b0", False: "#8c8c8c"}


def svg(course: Course, figures: Sequence[Figure]) -> str:
    """Return the chart; what no worker did is grey."""
    fastest = max(course.seconds / figure.wall for figure in figures)
    height = _TOP + _ROW * len(figures) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="12" y="24" font-size="14">Times its own speed: {escape(str(course))}</text>',
        *(line for place, one in enumerate(figures) for line in _bar(course, place, one, fastest)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _bar(course: Course, place: int, figure: Figure, fastest: float) -> Iterator[str]:
    speed, top = course.seconds / figure.wall, _TOP + _ROW * place
    length = (_WIDTH - _LEFT - 70) * speed / fastest
    workers = f", {figure.workers} worker{'s' if figure.workers > 1 else ''}" if figure.workers else ""
    base = top + _BAR - 4
    yield f'<text x="{_LEFT - 8}" y="{base}" font-size="12" text-anchor="end">{escape(figure.what + workers)}</text>'
    yield f'<rect x="{_LEFT}" y="{top}" width="{length:.1f}" height="{_BAR}" fill="{_COLOURS[figure.workers > 0]}"/>'
    yield f'<text x="{_LEFT + length + 6:.1f}" y="{base}" font-size="12">{speed:.2f}</text>'
