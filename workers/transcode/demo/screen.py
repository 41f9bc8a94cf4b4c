"""What the demo shows: a table that moves where there is a terminal, a line for each change elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from workers.transcode.demo.jobs import JobView, Strike, pid_of, table_of


class Screen:
    """Shows what happens: a table that moves where there is a terminal, a line for each change elsewhere."""

    def __init__(self) -> None:
        interactive = sys.stdout.isatty()
        self.console = Console(highlight=False, emoji=False, markup=False, width=None if interactive else 120)
        self._live: Live | None = None
        self._started = time.monotonic()
        self._said: dict[str, str] = {}

    def say(self, text: str, style: str = "") -> None:
        """Print a line, with the seconds since the start."""
        self.console.print(
            Text(f"{time.monotonic() - self._started:6.1f}s  ", "dim").append(text, style or "not dim"), soft_wrap=True
        )

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Lend the terminal to the table that `show` draws."""
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, transient=True, refresh_per_second=4) as self._live:
            try:
                yield
            finally:
                self._live = None

    def show(self, jobs: Sequence[JobView], names: dict[int, str], strikes: Sequence[Strike]) -> None:
        """Show how far the jobs are."""
        if self._live is not None:
            self._live.update(table_of(jobs, names, strikes))
            return
        for job in jobs:
            worker = names.get(pid_of(job.owner) or 0, "-")
            what = f"{job.state} by {worker}, token {job.token}" if job.owner else job.state
            if job.state == "running":
                # Quarters: a line for every percent would bury what matters.
                what += f", {int(job.progress * 4) * 25}%"
            if self._said.get(job.id) != what:
                self._said[job.id] = what
                self.say(f"{job.name}: {what}")
