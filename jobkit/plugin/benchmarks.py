"""Benchmarks that plugins bring: entry points of the group `jobkit.benchmarks`, run by `jobkit bench NAME`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points

from jobkit.errors import ConfigurationError

ENTRY_POINT_GROUP = "jobkit.benchmarks"

# Is given the words that follow its name, and returns an exit code.
Benchmark = Callable[[Sequence[str]], int]


def benchmark_names() -> list[str]:
    """Return the names of all that are installed."""
    return sorted({entry.name for entry in entry_points(group=ENTRY_POINT_GROUP)})


def load_benchmark(name: str) -> Benchmark:
    """Return the benchmark of a name. Raises `ConfigurationError` where it does not load, or there is none."""
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=name):
        try:
            loaded: Benchmark = entry.load()
        except Exception as error:
            raise ConfigurationError(f"benchmark {name!r} ({entry.value}) does not load: {error}") from error
        return loaded
    raise ConfigurationError(f"there is no benchmark {name!r}")
