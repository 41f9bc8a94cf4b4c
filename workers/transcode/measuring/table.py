"""The figures as a table, each beside the plain ffmpeg command of the same course."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workers.transcode.measuring.course import Course, Figure
from workers.transcode.measuring.runs import PLAIN, SPLIT, WHOLE

HEADINGS = ("run", "workers", "seconds", "processor seconds", "times its speed", "per core", "beside")


def rows(course: Course, figures: Sequence[Figure]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each figure: how often its own speed it was, by the clock and by processor time."""
    for figure in figures:
        yield (
            figure.what,
            str(figure.workers or "-"),
            f"{figure.wall:.1f}",
            "" if figure.processor is None else f"{figure.processor:.1f}",
            f"{course.seconds / figure.wall:.2f}",
            "" if figure.processor is None else f"{course.seconds / figure.processor:.2f}",
            _beside(figure, figures),
        )


def markdown(course: Course, figures: Sequence[Figure]) -> str:
    """Return the table, with its course above it and what else was seen below."""
    lines = [f"{course}:", "", f"| {' | '.join(HEADINGS)} |", f"|{'---|' * len(HEADINGS)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows(course, figures)]
    return "\n".join([*lines, "", *_remarks(course, figures)])


def _beside(figure: Figure, figures: Sequence[Figure]) -> str:
    """Return what a run took more than the one that it is to be compared with."""
    if figure.what == WHOLE and (plain := _first(figures, PLAIN)):
        return _more(figure.processor, plain.processor, PLAIN)
    if figure.what == SPLIT and (whole := _first(figures, WHOLE)):
        return _more(figure.processor, whole.processor, WHOLE)
    if figure.what not in (PLAIN, WHOLE, SPLIT) and (split := _first(figures, SPLIT, figure.workers)):
        return f"{figure.wall - split.wall:+.1f} s for the kill"
    return ""


def _more(processor: float | None, than: float | None, what: str) -> str:
    return "" if processor is None or than is None else f"{processor / than - 1:+.1%} processor time of {what}"


def _remarks(course: Course, figures: Sequence[Figure]) -> Iterator[str]:
    plain = _first(figures, PLAIN)
    for figure in figures:
        if figure.what == SPLIT and figure.workers > 1 and plain is not None:
            yield f"- {figure.workers} workers took {figure.wall / plain.wall:.2f} of the time of plain ffmpeg."
        if figure.what == SPLIT and figure.joining is not None:
            share = figure.joining / figure.wall
            yield f"- Putting together, by {figure.workers}: {figure.joining:.1f} s, {share:.1%} of the whole."
    yield f"- Chunks are {course.chunk:g} s long; leases last {course.ttl:g} s."
    memory = max((figure.memory or 0 for figure in figures), default=0)
    if memory:
        yield f"- A worker's own process took {memory / 1e6:.0f} MB at most."


def _first(figures: Sequence[Figure], what: str, workers: int | None = None) -> Figure | None:
    found = (one for one in figures if one.what == what and workers in (None, one.workers))
    return next(found, None)
