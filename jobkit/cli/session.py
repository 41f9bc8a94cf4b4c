"""What a command works with: its settings, its output, and the planes for as long as it asks them something.

It keeps no connection open between two calls, and no call outlives its time limit: a command never hangs.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import anyio
import typer

from jobkit.backends.registry import open_coordinator, open_planes, open_store_plane, unset_planes
from jobkit.cli.exit_codes import Declined, NoAnswer
from jobkit.cli.options import globals_of
from jobkit.cli.output import Output, plain
from jobkit.client.layouts import Layouts
from jobkit.errors import ConfigurationError
from jobkit.model.clock import Clock, SystemClock
from jobkit.model.plane import Plane
from jobkit.plugin.loading import load_plugins
from jobkit.plugin.registry import Registry
from jobkit.ports.backend import Opening
from jobkit.ports.coordinator import Coordinator
from jobkit.ports.inspection import Inspection
from jobkit.ports.planes import Planes, StorePlane
from jobkit.ports.store import Store
from jobkit.settings import Settings, load_settings
from jobkit.telemetry.logging import configure_logging

T = TypeVar("T")
Item = TypeVar("Item")

# A command that only asks or changes something small is done in well under a second; this is for a bad day.
LIMIT_SECONDS = 30.0
# What is only told besides is not waited for as long.
_BESIDES_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class CommandSession:
    """One run of one command."""

    settings: Settings
    clock: Clock
    out: Output

    @classmethod
    def begin(
        cls,
        context: typer.Context,
        env_files: Sequence[Path] | None,
        *,
        as_json: bool = False,
        log_at_least: str = "warning",
    ) -> CommandSession:
        """Load the settings, those files last that were named last, and set up logging.

        Raises `ConfigurationError` where a setting is wrong.
        """
        said = globals_of(context)
        settings = load_settings((*said.env_files, *(env_files or ())))
        verbose = said.debug or settings.log_level == "debug"
        logged = settings.model_copy(update={"log_level": "debug"}) if said.debug else settings
        configure_logging(logged, at_least="debug" if verbose else log_at_least)
        return cls(settings, SystemClock(), Output(as_json=as_json))

    def registry(self) -> Registry:
        """Return the processors there are. Raises `ConfigurationError` where a plugin does not load."""
        return load_plugins(
            self.settings.plugins,
            middleware=self.settings.middleware,
            max_payload_bytes=self.settings.max_payload_bytes,
        )

    def call(
        self,
        ask: Callable[[Planes], Awaitable[T]],
        *,
        limit: float | None = LIMIT_SECONDS,
        create: bool = False,
        long_running: bool = False,
    ) -> T:
        """Open the planes, return what `ask` returns of them, and close them again.

        Only where `create` says so an embedded database is made that is not there yet. What is `long_running` has the
        event loop that the settings name; a short command would spend longer loading it than it saves.
        Raises `NoAnswer` after `limit` seconds, and what opening and asking raise.
        """

        async def opened() -> T:
            with within(limit):
                async with open_planes(self.settings, self.clock, create=create) as planes:
                    return await ask(planes)

        use_uvloop = long_running and self.settings.event_loop == "uvloop" and find_spec("uvloop") is not None
        return anyio.run(opened, backend_options={"use_uvloop": use_uvloop})

    async def layouts(self, store: Store) -> Layouts:
        """Return the numbers of partitions in force, as the store has them now. Raises `Unavailable`."""
        layouts = Layouts(store, self.settings.partitions, self.clock)
        await layouts.refresh()
        return layouts

    def ask(self, question: Callable[[StorePlane], Awaitable[T]], *, limit: float | None = LIMIT_SECONDS) -> T:
        """As `call`, for what the store alone answers: the other planes may be away, or not even named."""

        async def opened() -> T:
            with within(limit):
                async with open_store_plane(self.settings, self.clock) as plane:
                    return await question(plane)

        return anyio.run(opened)

    def ask_coordinator(self, question: Callable[[Coordinator], Awaitable[T]]) -> T:
        """As `ask`, for what the coordinator alone answers, within a few seconds."""
        if problems := unset_planes(self.settings, (Plane.COORDINATOR,)):
            raise ConfigurationError("\n".join(problems))

        async def opened() -> T:
            with within(_BESIDES_SECONDS):
                async with AsyncExitStack() as stack:
                    opening = Opening(self.clock, stack)
                    return await question(await open_coordinator(self.settings, opening))

        return anyio.run(opened)

    def for_each(self, items: Sequence[Item], do: Callable[[Inspection, Item], Awaitable[T]]) -> list[T]:
        """Have the store do something with each item, one after another, each within the limit of one `ask`."""

        async def opened(plane: StorePlane) -> list[T]:
            answers = []
            for item in items:
                with within():
                    answers.append(await do(plane.inspection, item))
            return answers

        return self.ask(opened, limit=None)


@contextmanager
def within(seconds: float | None = LIMIT_SECONDS) -> Iterator[None]:
    """Raise `NoAnswer` where the block takes longer than `seconds`."""
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError as error:
        raise NoAnswer(
            f"no answer from the backends within {seconds:g} s; `jobkit doctor` shows which of them is in trouble"
        ) from error


def confirm(question: str, *, yes: bool) -> None:
    """Return where the user says yes, on the terminal or by `--yes`.

    Raises `ConfigurationError` where there is no terminal to ask on, `Declined` where the answer is no.
    """
    if yes:
        return
    if not os.isatty(0):
        raise ConfigurationError(f"{question}\nThere is no terminal to ask on; say --yes to do it.")
    if not typer.confirm("\n".join(plain(line) for line in question.split("\n")), err=True):
        raise Declined("not confirmed; nothing was changed")
