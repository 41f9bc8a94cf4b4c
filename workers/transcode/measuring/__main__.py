"""Measures what workers make of a video: how fast, for how much of the processor, and what a killed worker costs.

All is measured beside the plain ffmpeg command that makes the same renditions. Each figure is of one run, on embedded
backends in a folder that is gone afterwards. `--figures FILE` keeps them, and measures only what is not there yet of
the same video, settings and chunks.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from workers.transcode.measuring.chart import svg
from workers.transcode.measuring.course import Course, Figure
from workers.transcode.measuring.runs import runs
from workers.transcode.measuring.table import markdown
from workers.transcode.sample import make_sample, size_of

_WORKERS = (1, 2, 4)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the figures as a table."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    course = Course(chosen.seconds, chosen.size, chosen.preset, tuple(chosen.ladder), chosen.chunk, chosen.ttl)
    counts = [count for count in _WORKERS if count <= (os.cpu_count() or 1)]
    wanted = runs(course, counts, chosen.kill)
    if strange := sorted(set(chosen.only or ()) - set(wanted)):
        parser.error(f"--only: there is no run {', '.join(strange)}; there are {', '.join(wanted)}")
    known = _known(chosen.figures, course)
    missing = [(name, run) for name, run in wanted.items() if name not in known and name in (chosen.only or wanted)]
    with TemporaryDirectory(prefix="jobkit-measuring-") as name:
        folder = Path(name)
        source = folder / "source.mp4"
        if missing:
            anyio.run(partial(make_sample, source, seconds=course.seconds, size=course.size))
        for label, run in missing:
            known[label] = run(folder / label, source)
            _keep(chosen.figures, course, label, known[label])
    figures = [known[name] for name in wanted if name in known]
    print(json.dumps([asdict(one) for one in figures]) if chosen.json else markdown(course, figures))
    if chosen.chart is not None:
        chosen.chart.write_text(svg(course, figures))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="jobkit bench transcode", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the video is")
    parser.add_argument("--size", type=size_of, default=(1920, 1080))
    parser.add_argument("--preset", default="medium")
    parser.add_argument("--ladder", type=int, nargs="+", default=[1080, 720, 480, 360, 240])
    parser.add_argument("--chunk", type=float, default=12.0, help="how long a chunk is, in seconds")
    parser.add_argument("--ttl", type=float, default=5.0, help="how long a lease lasts, in seconds")
    parser.add_argument("--kill", type=float, nargs="*", default=[0.1, 0.5, 0.9], help="where a worker is killed")
    parser.add_argument("--only", nargs="*", help="names of runs: plain, whole, split-2, kill-0.9 and so on")
    parser.add_argument("--figures", type=Path, help="a file that figures are kept in")
    parser.add_argument("--chart", type=Path, help="an SVG file to draw")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser


def _known(file: Path | None, course: Course) -> dict[str, Figure]:
    """Return what a file has of a course, by the names of the runs."""
    if file is None or not file.exists():
        return {}
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return {line["name"]: Figure(**line["figure"]) for line in lines if line.get("course") == _written(course)}


def _keep(file: Path | None, course: Course, name: str, figure: Figure) -> None:
    if file is not None:
        with file.open("a") as lines:
            lines.write(json.dumps({"name": name, "course": _written(course), "figure": asdict(figure)}) + "\n")


def _written(course: Course) -> object:
    """Return a course as it is read back, without tuples."""
    return json.loads(json.dumps(asdict(course)))


if __name__ == "__main__":
    sys.exit(main())
