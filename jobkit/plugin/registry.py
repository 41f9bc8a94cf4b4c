"""Finding processors: installed ones through entry points, others by the names in `JOBKIT_PLUGINS`."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeGuard

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from jobkit.errors import ConfigurationError, PayloadInvalid, UnknownType
from jobkit.model import due
from jobkit.model import names as rules
from jobkit.model.envelope import Envelope
from jobkit.model.ids import new_job_id
from jobkit.model.safe_text import ERROR_CHARACTERS, shown
from jobkit.model.schedule import Schedule, ScheduledJob
from jobkit.model.unique import Unique
from jobkit.plugin.groups import AnyProcessor, Groups, enclosed
from jobkit.plugin.limits import Concurrency, Rate, differ
from jobkit.plugin.payload import Payload
from jobkit.plugin.processor import Processor, checked_key
from jobkit.plugin.schedule import DeclaredSchedule
from jobkit.ports.store import NewJob
from jobkit.projections.projection import Projection
from jobkit.settings import settings_problems

ENTRY_POINT_GROUP = "jobkit.processors"


class Registry:
    """The processors of one process, by job type, and its schedules, by name.

    Raises `ConfigurationError` where two claim one type or one name.

    `broken` says of installed plugins that do not load why: they are in nobody's way until their type is asked for.
    `unnamed` are types that are there because their plugin is installed, and for no other reason.
    """

    def __init__(
        self,
        processors: Iterable[AnyProcessor],
        *,
        max_payload_bytes: int = 262_144,
        broken: Mapping[str, str] | None = None,
        unnamed: Collection[str] = (),
        schedules: Iterable[DeclaredSchedule] = (),
    ) -> None:
        self.unnamed = frozenset(unnamed)
        self.processors: dict[str, AnyProcessor] = {}
        self.broken = dict(broken or {})
        self._max_payload_bytes = max_payload_bytes
        for processor in processors:
            known = self.processors.setdefault(processor.name, processor)
            if known is not processor:
                raise ConfigurationError(
                    f"job type {processor.name!r} is claimed by two processors: "
                    f"{_origin(known)} and {_origin(processor)}; load only one of them"
                )
        self._groups = Groups(self.processors.values())
        self._check_limits()
        self._schedules: dict[str, DeclaredSchedule] = {}
        for schedule in schedules:
            if self._schedules.setdefault(schedule.name, schedule) is not schedule:
                raise ConfigurationError(f"two schedules are called {schedule.name!r}: give one of them another name")

    def _check_limits(self) -> None:
        declared: dict[str, tuple[Concurrency | Rate, AnyProcessor]] = {}
        for processor in self.processors.values():
            for limit in processor.limits:
                known, by = declared.setdefault(limit.name, (limit, processor))
                if differ(known, limit):
                    raise ConfigurationError(
                        f"limit {limit.name!r} is declared in two ways, by {_origin(by)} and {_origin(processor)}: "
                        "let both use one declaration"
                    )

    def get(self, type: str) -> AnyProcessor:
        """Return the processor of `type`.

        Raises `UnknownType` naming those there are, or `ConfigurationError` where its plugin does not load.
        """
        if type in self.broken and type not in self.processors:
            raise ConfigurationError(self.broken[type])
        try:
            return self.processors[type]
        except KeyError:
            if members := self._groups.members(type):
                names = ", ".join(sorted(one.name for one in members))
                raise UnknownType(f"{type!r} is a group of job types: name one of them ({names})") from None
            known = ", ".join(sorted(self.processors)) or "none"
            close = difflib.get_close_matches(type, self.processors, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UnknownType(
                f"no processor for job type {type!r} is loaded (loaded: {known}){hint}; "
                "install its package or name its module in JOBKIT_PLUGINS"
            ) from None

    def kept(self) -> Sequence[str]:
        """Return the types that jobs have in queues and in the store: those outside of groups, and the groups."""
        return sorted({one.kept_as for one in self.processors.values()})

    def members(self, type: str) -> Sequence[AnyProcessor]:
        """Return the processors of the jobs that are kept as `type`; none where none is loaded."""
        return [one for one in self.processors.values() if one.kept_as == type]

    def kept_as(self, type: str) -> str:
        """Return `type`, which is to be one of `kept`. Raises as `get`, and `UnknownType` for a type in a group."""
        if self._groups.members(type):
            return type
        self.refuse_member(type)
        return self.get(type).name

    def refuse_member(self, type: str) -> None:
        """Raise `UnknownType` where `type` is in a group, under whose name its jobs are kept."""
        found = self.processors.get(type)
        if found is not None and found.kept_as != type:
            raise UnknownType(
                f"job type {type!r} is in group {found.group!r}, whose types have their queues, keys and workers in "
                f"common: name {found.group!r}"
            )

    def addressed(self, type: str, body: bytes) -> tuple[AnyProcessor, bytes]:
        """Return the processor that a job is for which is kept as `type`, and the payload. Raises as `kept_as`."""
        found = self.processors.get(type)
        if found is not None and found.group is None:
            return found, body
        return self._groups.of_body(self.kept_as(type), body)

    def projections(self) -> Mapping[str, Sequence[Projection[Any]]]:
        """Return the projections of the processors that have any, by the type that jobs are kept as."""
        return {type: found for type in self.kept() if (found := self.projections_of(type))}

    def projections_of(self, type: str) -> Sequence[Projection[Any]]:
        """Return the projections of the keys of a type. Raises as `kept_as`."""
        return self._chosen([self.kept_as(type)])[0].projections

    def _chosen(self, types: Sequence[str] | None) -> Sequence[AnyProcessor]:
        """Return the processors of these types and groups, or all."""
        if types is None:
            return list(self.processors.values())
        return [one for type in types for one in self._groups.members(type) or [self.get(type)]]

    def schedules(self, types: Collection[str], decided: float) -> Sequence[Schedule]:
        """Return the schedules whose jobs are of one of `types`; their first ticks are those after `decided`.

        Raises `ConfigurationError` where the job of one is not to be told, or not valid.
        """
        found = []
        for declared in self._schedules.values():
            try:
                type = declared.type or self.type_of(declared.job, "type=")
                if type in types:
                    found.append(declared.starting(self.scheduled_job(type, declared.job), decided))
            except (ValueError, PayloadInvalid) as error:
                raise ConfigurationError(f"schedule {declared.name!r}: {error}") from error
        return found

    def type_of(self, job: Payload, said_by: str) -> str:
        """Return the one type that takes this payload.

        Raises `ValueError`, which tells by what to say which, where there is none, or more than one.
        """
        types = sorted(name for name, one in self.processors.items() if one.payload is job.__class__)
        if len(types) != 1:
            takers = f"processors {', '.join(types)} take" if types else "no processor that is loaded takes"
            raise ValueError(f"{takers} a {job.__class__.__name__}: say which by {said_by}")
        return types[0]

    def scheduled_job(
        self, type: str, payload: Payload | Mapping[str, Any] | bytes, *, key: str | None = None
    ) -> ScheduledJob:
        """Return what a schedule is to submit, validated. Raises `UnknownType` or `PayloadInvalid`."""
        job = self.new_job(type, payload, key=key)
        return ScheduledJob(type, job.envelope.body, job.envelope.key, job.ordered)

    def settings(self, types: Sequence[str] | None = None) -> Mapping[type[BaseSettings], BaseSettings]:
        """Return the settings of the processors of `types` (default: all), validated from the environment.

        Raises `ConfigurationError` with a line for each variable that is wrong.
        """
        validated: dict[type[BaseSettings], BaseSettings] = {}
        problems = []
        for processor in self._chosen(types):
            model = processor.settings
            if model is None or model in validated:
                continue
            try:
                validated[model] = model()
            except ValidationError as error:
                problems.append(settings_problems(error, str(model.model_config.get("env_prefix", ""))))
        if problems:
            raise ConfigurationError("\n".join(problems))
        return validated

    async def problems(self, types: Sequence[str] | None = None) -> Sequence[str]:
        """Return what the checks of the processors of `types` (default: all) find wrong here, as `type: sentence`."""
        found: list[str] = []
        for processor in self._chosen(types):
            if processor.check is not None:
                found.extend(f"{processor.name}: {sentence}" for sentence in await processor.check())
        return found

    async def unconfigured(self) -> Mapping[str, str]:
        """Return what keeps each unnamed type from working of which no variable is set, by type.

        Such a plugin came with what is used, perhaps, and is in nobody's way.
        """
        return {type: problem for type in sorted(self.unnamed) if (problem := await self._unconfigured(type))}

    async def _unconfigured(self, type: str) -> str:
        model = self.get(type).settings
        prefix = "" if model is None else str(model.model_config.get("env_prefix", "")).upper()
        if not prefix or any(variable.upper().startswith(prefix) for variable in os.environ):
            return ""
        try:
            self.settings([type])
            return "; ".join(await self.problems([type]))
        except ConfigurationError as error:
            return str(error)

    def new_job(
        self,
        type: str,
        payload: Payload | Mapping[str, Any] | bytes,
        *,
        key: str | None = None,
        id: str | None = None,
        submitted_at: float = 0.0,
        trace: Mapping[str, str] | None = None,
        at: datetime | None = None,
        after: timedelta | None = None,
        expires: datetime | timedelta | None = None,
        unique: Unique | None = None,
    ) -> NewJob:
        """Return the job that `payload` asks for, validated.

        Raises `UnknownType`, `PayloadInvalid`, or `ValueError` where it cannot be told when it is due.
        """
        when = (*due.told(at, after), *due.told_expiry(expires))
        processor = self.get(type)
        if _is_own_main(payload, processor.payload):
            parsed = processor.parse(payload.model_dump_json().encode())
        elif isinstance(payload, Payload):
            if not isinstance(payload, processor.payload):
                raise PayloadInvalid(
                    f"job type {type!r} takes a {processor.payload.__name__}, not a {payload.__class__.__name__}"
                )
            parsed = payload
        elif isinstance(payload, bytes):
            parsed = processor.parse(payload)
        else:
            parsed = processor.from_mapping(payload)
        processor.limits_of(parsed)
        body = enclosed(processor, processor.dump(parsed))
        if len(body) > self._max_payload_bytes:
            raise PayloadInvalid(
                f"payload of type {type!r} has {len(body)} bytes, more than JOBKIT_MAX_PAYLOAD_BYTES allows "
                f"({self._max_payload_bytes}); put large data in a file and its path in the payload"
            )
        envelope = Envelope(
            id=checked_id(id) if id is not None else new_job_id(),
            type=processor.kept_as,
            body=body,
            key=processor.key_of(parsed) if key is None else checked_key(key),
            submitted_at=submitted_at,
            trace=trace or {},
        )
        return NewJob(envelope, processor.ordered, *when, unique)


def _is_own_main(payload: object, model: type[Payload]) -> TypeGuard[Payload]:
    """Return whether `payload` is of the class `model`, loaded a second time as a part of the program that runs.

    A script that submits to a processor in its own file has that file twice: as `__main__`, and as the plugin.
    """
    return (
        isinstance(payload, Payload)
        and not isinstance(payload, model)
        and payload.__class__.__module__ == "__main__"
        and payload.__class__.__qualname__ == model.__qualname__
    )


def checked_id(id: str) -> str:
    """Return `id` if it may name a job. Raises `PayloadInvalid` otherwise."""
    try:
        plain = rules.JOB_ID.check(id)
    except ValueError as error:
        raise PayloadInvalid(str(error)) from error
    if not plain.isprintable():
        raise PayloadInvalid(f"a job id must be of printable characters, not {shown(id)}")
    return plain


def load_plugins(names: Sequence[str] = (), *, max_payload_bytes: int = 262_144) -> Registry:
    """Return the registry of all installed processors and those in `names` (`module` or `module:attribute`).

    Raises `ConfigurationError` naming the one of `names` that does not load, with its cause.
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
        for processor in _named(name):
            found[id(processor)] = processor
            unnamed.discard(processor.name)
    return Registry(
        found.values(),
        max_payload_bytes=max_payload_bytes,
        broken=broken,
        unnamed=unnamed,
        schedules=_schedules_beside(found.values()),
    )


def _schedules_beside(processors: Iterable[AnyProcessor]) -> list[DeclaredSchedule]:
    """Return the schedules that stand in the modules of the processors."""
    modules = {processor.function.__module__ for processor in processors}
    found: dict[int, DeclaredSchedule] = {}
    for name in sorted(modules & sys.modules.keys()):
        found |= {id(value): value for value in vars(sys.modules[name]).values() if isinstance(value, DeclaredSchedule)}
    return list(found.values())


def _named(name: str) -> list[AnyProcessor]:
    """Return what one part of `JOBKIT_PLUGINS` names."""
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ConfigurationError(
            f"JOBKIT_PLUGINS: {module_name!r} does not import: {_import_problem(error)}"
        ) from error
    if attribute:
        processor = getattr(module, attribute, None)
        if not isinstance(processor, Processor):
            raise ConfigurationError(f"JOBKIT_PLUGINS: {name!r} is not a processor")
        return [processor]
    processors = [value for value in vars(module).values() if isinstance(value, Processor)]
    if not processors:
        raise ConfigurationError(f"JOBKIT_PLUGINS: module {module_name!r} has no processors")
    return processors


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


def _origin(processor: AnyProcessor) -> str:
    return f"{processor.function.__module__}.{processor.function.__qualname__}"
