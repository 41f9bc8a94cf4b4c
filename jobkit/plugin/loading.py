"""Finding processors: installed ones through entry points, others by the names in `JOBKIT_PLUGINS`."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Generic, TypeVar

from jobkit.errors import ConfigurationError
from jobkit.model.safe_text import ERROR_CHARACTERS, shown
from jobkit.plugin.around import Around, Declared
from jobkit.plugin.groups import AnyProcessor
from jobkit.plugin.hooks import Hook
from jobkit.plugin.middleware import AroundAttempt, AroundSubmit
from jobkit.plugin.processor import Processor
from jobkit.plugin.registry import Registry
from jobkit.plugin.schedule import DeclaredSchedule

ENTRY_POINT_GROUP = "jobkit.processors"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Wanted(Generic[T]):
    """What a setting names: objects of these kinds, and the words for one and for many of them."""

    variable: str
    kinds: tuple[type[T], ...]
    one: str
    many: str


_PROCESSORS: _Wanted[AnyProcessor] = _Wanted("JOBKIT_PLUGINS", (Processor,), "a processor", "processors")
_MIDDLEWARE: _Wanted[Declared] = _Wanted(
    "JOBKIT_MIDDLEWARE",
    (AroundAttempt, AroundSubmit, Hook),
    "middleware, nor a hook",
    "middleware and no hooks",
)


def load_plugins(
    names: Sequence[str] = (), *, middleware: Sequence[str] = (), max_payload_bytes: int = 262_144
) -> Registry:
    """Return the registry of all installed processors and those in `names` (`module` or `module:attribute`).

    `middleware` names likewise what runs around their jobs. Raises `ConfigurationError` naming the one that does not
    load, with its cause.
    """
    found: dict[int, AnyProcessor] = {}
    broken: dict[str, str] = {}
    unnamed: set[str] = set()
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            loaded = entry.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  (whatever an installed module raises is told when it is needed)
            broken[entry.name] = f"plugin {entry.name!r} ({entry.value}) does not load: {_import_problem(error)}"
            continue
        if isinstance(loaded, Processor):
            found[id(loaded)] = loaded
            unnamed.add(loaded.name)
        else:
            broken[entry.name] = f"plugin {entry.name!r} ({entry.value}) is not a processor"
    for name in names:
        for processor in _named(name, _PROCESSORS):
            found[id(processor)] = processor
            unnamed.discard(processor.name)
    return Registry(
        found.values(),
        max_payload_bytes=max_payload_bytes,
        broken=broken,
        unnamed=unnamed,
        schedules=_schedules_beside(found.values()),
        around=Around.of(one for name in middleware for one in _named(name, _MIDDLEWARE)),
    )


def _schedules_beside(processors: Iterable[AnyProcessor]) -> list[DeclaredSchedule]:
    """Return the schedules that stand in the modules of the processors."""
    modules = {processor.function.__module__ for processor in processors}
    found: dict[int, DeclaredSchedule] = {}
    for name in sorted(modules & sys.modules.keys()):
        found |= {id(value): value for value in vars(sys.modules[name]).values() if isinstance(value, DeclaredSchedule)}
    return list(found.values())


def _named(name: str, wanted: _Wanted[T]) -> list[T]:
    """Return what one part of a setting names, in the order in which it is declared."""
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ConfigurationError(
            f"{wanted.variable}: {module_name!r} does not import: {_import_problem(error)}"
        ) from error
    if attribute:
        named = getattr(module, attribute, None)
        if not isinstance(named, wanted.kinds):
            raise ConfigurationError(f"{wanted.variable}: {name!r} is not {wanted.one}")
        return [named]
    found = [value for value in vars(module).values() if isinstance(value, wanted.kinds)]
    if not found:
        raise ConfigurationError(f"{wanted.variable}: module {module_name!r} has no {wanted.many}")
    return found


def _import_problem(error: BaseException) -> str:
    """Say what an import raised, and in which line of which file."""
    where = _place_of(error)
    what = str(error) if isinstance(error, ConfigurationError) else shown(error, ERROR_CHARACTERS)
    if isinstance(error, SystemExit):
        what = f"it calls sys.exit({shown(error.code)}) as it is imported; a plugin must do nothing but declare"
    return f"{what} (in {where})" if where else what


def _place_of(error: BaseException) -> str | None:
    """Return the file and line that raised, or None where the module was not even found."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{error.filename}, line {error.lineno}"
    if isinstance(error, ConfigurationError):
        # It is told by the declaration, whose line is the nearest that is not jobkit's.
        own = str(Path(__file__).parent)
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(own)]
    else:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    frames = [frame for frame in frames if "importlib" not in frame.filename]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else None
