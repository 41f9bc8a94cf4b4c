"""A worker in a process of its own that is started anew whenever code changes: for whoever writes a plugin.

It is no supervisor: a worker that ends by itself, over a mistake in the code say, is started again when that changes.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import anyio
from anyio.abc import Process

from jobkit.errors import ConfigurationError
from jobkit.model.clock import Clock

_LOOK_SECONDS = 0.5
# What still runs then is run again by the next one.
_GOOD_BYE_SECONDS = 5.0


def code_of(modules: Sequence[str]) -> Sequence[Path]:
    """Return the files and folders that modules are in. Raises `ConfigurationError` where there is no such module."""
    found = []
    for name in modules:
        module = name.partition(":")[0]
        try:
            spec = find_spec(module.partition(".")[0])
        except ValueError as error:
            raise ConfigurationError(f"{module!r} is no name of a module") from error
        if spec is None or (spec.origin is None and not spec.submodule_search_locations):
            raise ConfigurationError(f"there is no module {module!r} here; name one that Python finds from this folder")
        places = spec.submodule_search_locations
        found += [Path(place) for place in places] if places else [Path(spec.origin or "")]
    return found


class ReloadingWorker:
    """Runs `command` with `environment`, and anew when one of the Python files in `places` has changed."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], places: Sequence[Path], clock: Clock
    ) -> None:
        self._command = command
        self._environment = environment
        self._places = places
        self._clock = clock
        self.starts = 0

    async def run(self) -> None:
        """Run it until cancelled; then it is told to end, and has a moment to."""
        while True:
            seen = self._look()
            self.starts += 1
            # In a session of its own: what a terminal's Ctrl-C means to it is decided here.
            process = await anyio.open_process(
                self._command, stdin=None, stdout=None, stderr=None, env=self._environment, start_new_session=True
            )
            try:
                while self._look() == seen:
                    await self._clock.sleep(_LOOK_SECONDS)
            finally:
                await _ended(process)

    def _look(self) -> Mapping[Path, float]:
        found = {}
        for place in self._places:
            for path in [place] if place.is_file() else place.rglob("*.py"):
                try:
                    found[path] = path.stat().st_mtime
                except FileNotFoundError:
                    # Editors put a new file in the place of the old one.
                    found[path] = 0.0
        return found


async def _ended(process: Process) -> None:
    """Have a process end, in bounded time."""
    with anyio.CancelScope(shield=True):
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        with anyio.move_on_after(_GOOD_BYE_SECONDS):
            await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
