"""What commands print: data on stdout, words about it on stderr.

Nothing is coloured or cut to a width unless stdout is a terminal; JSON is never coloured. Text that came from
outside (keys, messages, errors) is shown with its control characters written out, so that it cannot drive a terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any


class Output:
    """One command's output, as text or as JSON."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def document(self, value: Any) -> None:
        """Print one JSON document."""
        sys.stdout.write(json.dumps(value, indent=2) + "\n")

    def line(self, value: Any) -> None:
        """Print one JSON line and flush it: somebody may be reading along."""
        sys.stdout.write(json.dumps(value, separators=(",", ":")) + "\n")
        sys.stdout.flush()

    def text(self, text: str) -> None:
        """Print text as it is, with a line break after it."""
        sys.stdout.write(text + "\n")

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str]], *, whole: str, right: str = "") -> None:
        """Print a table. On a narrow terminal all columns but the one headed `whole` may be cut.

        `right` names the columns, separated by blanks, that are aligned to the right.
        """
        from rich.table import Table
        from rich.text import Text

        from jobkit.cli.terminal import terminal

        shown = [[plain(cell) for cell in row] for row in rows]
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for index, heading in enumerate(headings):
            widest = max((len(row[index]) for row in shown), default=0)
            table.add_column(
                heading,
                justify="right" if heading in right.split() else "left",
                min_width=widest if heading == whole else None,
                no_wrap=True,
                overflow="ellipsis",
            )
        for row in shown:
            table.add_row(*(Text(cell) for cell in row))
        terminal().print(table)

    def fields(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Print names and values, one pair a line, values in one column."""
        from rich.text import Text

        from jobkit.cli.terminal import terminal

        listed = [(name, plain(value)) for name, value in pairs]
        width = max((len(name) for name, _ in listed), default=0)
        console = terminal()
        for name, value in listed:
            line = Text(f"{name:<{width}}  ", style="bold")
            line.append(value, style="not bold")
            console.print(line, soft_wrap=True)

    def note(self, text: str) -> None:
        """Say something about the output, on stderr."""
        from rich.text import Text

        from jobkit.cli.terminal import terminal

        terminal(stderr=True).print(Text(plain(text)), soft_wrap=True)


def plain(text: str) -> str:
    """Return `text` with line breaks, terminal commands and other characters that do not print written out."""
    if text.isprintable():
        return text
    return "".join(part if part.isprintable() else _escaped(part) for part in text)


def age(seconds: float) -> str:
    """Return a span of time as people say it, in its largest unit: `12s`, `5m`, `3h`, `9d`."""
    whole = max(0, int(seconds))
    for size, unit, until in ((1, "s", 60), (60, "m", 3600), (3600, "h", 172_800)):
        if whole < until:
            return f"{whole // size}{unit}"
    return f"{whole // 86_400}d"


def due_in(at: float, now: float) -> str:
    """Return a Unix time to come as a span and date: `in 5m (2026-05-06 07:08:09Z)`."""
    return f"in {age(at - now)} ({datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%SZ})"


def moment(at: float | None, now: float) -> str:
    """Return a Unix time as age and date: `5m ago (2026-05-06 07:08:09Z)`; `-` where there is none."""
    if at is None:
        return "-"
    date = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return f"{age(now - at)} ago ({date})"


def _escaped(character: str) -> str:
    number = ord(character)
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character) or (
        f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
    )
