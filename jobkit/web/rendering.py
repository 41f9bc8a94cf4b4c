"""Pages as HTML: templates, in which everything is escaped, and how times, numbers and JSON are written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from jobkit.ops.views import stored_json

# What is shown where there is nothing to show: a dash.
NOTHING = "\u2013"
_UNITS = ((86_400 * 2, 86_400, "d"), (3_600 * 2, 3_600, "h"), (60, 60, "m"), (0, 1, "s"))


def environment() -> Environment:
    """Return what renders the templates of this package."""
    made = Environment(
        loader=PackageLoader("jobkit.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "pretty": pretty,
        "percent": lambda share: f"{share:.0%}",
        "number": lambda number: f"{number:,}",
        "part": lambda text: quote(text, safe=""),
        "span": span,
        "short": short,
    }
    made.globals |= {"moment": moment, "query": query}
    return made


def moment(at: float | None, now: float) -> Markup | str:
    """Return a Unix time as people read it; the script puts it into the reader's zone, and keeps it up to date."""
    if at is None:
        return NOTHING
    stamp = datetime.fromtimestamp(at, UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        stamp.isoformat(timespec="milliseconds"), f"{stamp:%Y-%m-%d %H:%M:%S} UTC", relative(at - now)
    )


def relative(seconds: float) -> str:
    """Return how far away a moment is."""
    return f"{span(-seconds)} ago" if seconds <= 0 else f"in {span(seconds)}"


def span(seconds: float | None) -> str:
    """Return a duration in its largest unit."""
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return f"{max(0.0, seconds) * 1000:.0f}ms"
    size, unit = next((size, unit) for least, size, unit in _UNITS if seconds >= least)
    return f"{seconds / size:.0f}{unit}"


def pretty(value: Any) -> str:
    """Return JSON for people to read; bytes are JSON from a store."""
    found = stored_json(value) if isinstance(value, bytes) else value
    return (
        found
        if isinstance(found, str) and isinstance(value, bytes)
        else json.dumps(found, indent=2, ensure_ascii=False)
    )


def short(text: str, most: int = 12) -> str:
    """Return an id so that a column of them can be read: its end, which tells it from its neighbours."""
    return text if len(text) <= most else f"…{text[-most:]}"


def query(**values: object) -> str:
    """Return a query with what is not empty; of a list each."""
    told = {
        name: value if isinstance(value, list) else str(value)
        for name, value in values.items()
        if value not in (None, "", [])
    }
    return f"?{urlencode(told, doseq=True)}" if told else ""
