"""A program without an event loop: the same client, thread-safe, for scripts, Flask and Django.

Run it:

    export JOBKIT_PLUGINS=typed
    jobkit worker stretch &
    python script.py
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from typed import Stretch, stretch

from jobkit import SyncClient


def main() -> None:
    """Submit from several threads, and wait for each result where it is needed."""
    with SyncClient() as client, ThreadPoolExecutor(4) as threads:

        def stretched(name: str) -> str:
            return stretch.submit(client, Stretch(name=name, by=2)).result(timeout=60).name

        print(*threads.map(stretched, ["ann", "bob", "eve"]))


if __name__ == "__main__":
    main()
