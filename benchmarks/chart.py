"""The chart: jobs per second of each contender, both kinds of job side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

_KINDS = {"noop": ("no-op jobs", "#4c72b0"), "io": ("jobs with 5 ms of I/O", "#dd8452")}
_WIDTH = 0.38


def draw(found: dict[str, Any], out: Path) -> None:
    """Write `benchmarks.png` and `benchmarks.svg` into `out`."""
    contenders = found["contenders"]
    # The same picture for the same numbers: ids in an SVG are random otherwise, and it carries the date.
    mpl.rcParams["svg.hashsalt"] = "jobkit"
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    for place, (kind, (label, color)) in enumerate(_KINDS.items()):
        positions = [number + (place - 0.5) * _WIDTH for number in range(len(contenders))]
        medians = [contender[kind]["jobs_per_second"] for contender in contenders]
        spread = [
            [median - min(contender[kind]["runs"]) for median, contender in zip(medians, contenders, strict=True)],
            [max(contender[kind]["runs"]) - median for median, contender in zip(medians, contenders, strict=True)],
        ]
        bars = axes.bar(positions, medians, _WIDTH, label=label, color=color, yerr=spread, capsize=3)
        axes.bar_label(bars, labels=[f"{median:,.0f}" for median in medians], padding=3, fontsize=8)
    names = [f"{one['name']} {next(iter(one['versions'].values()))}" for one in contenders]
    axes.set_xticks(range(len(contenders)), names)
    axes.set_ylabel("jobs per second, one worker process")
    axes.set_title(
        f"Acks after the work, durable messages; medians of {found['rounds']} rounds of {found['jobs']:,} jobs, "
        "lowest to highest\n"
        "jobkit alone leases, fences and commits each job, here to a Redis that syncs each write to disk",
        fontsize=9,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
        figure.savefig(out / f"benchmarks.{kind}", dpi=150, metadata=metadata)
    plt.close(figure)
