"""The processors of a process, by job type: what they are asked for, and the jobs that are made for them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from jobkit.errors import ConfigurationError, PayloadInvalid, UnknownType
from jobkit.model.envelope import Envelope
from jobkit.model.notice import Notice
from jobkit.model.priority import Priority
from jobkit.model.schedule import Schedule, ScheduledJob
from jobkit.model.spelling import did_you_mean
from jobkit.model.unique import Unique
from jobkit.plugin.around import NOTHING_AROUND, Around
from jobkit.plugin.file_retention import FileRetention
from jobkit.plugin.groups import AnyProcessor, Groups
from jobkit.plugin.limits import Concurrency, Rate, differ
from jobkit.plugin.log_retention import LogRetention
from jobkit.plugin.new_job import new_job
from jobkit.plugin.notification import FIELD, Notification, completed, notice_of, noticed
from jobkit.plugin.payload import Payload
from jobkit.plugin.resource import Resource, in_order
from jobkit.plugin.schedule import DeclaredSchedule
from jobkit.ports.store import NewJob
from jobkit.projections.projection import Projection
from jobkit.settings import settings_problems


class Registry:
    """The processors of one process, by job type, and its schedules, by name.

    Raises `ConfigurationError` where two claim one type or one name.

    `broken` says of installed plugins that do not load why: they are in nobody's way until their type is asked for.
    `unnamed` are types that are there because their plugin is installed, and for no other reason. `around` is what runs
    around the jobs of all types.
    """

    def __init__(
        self,
        processors: Iterable[AnyProcessor],
        *,
        max_payload_bytes: int = 262_144,
        broken: Mapping[str, str] | None = None,
        unnamed: Collection[str] = (),
        schedules: Iterable[DeclaredSchedule] = (),
        around: Around = NOTHING_AROUND,
    ) -> None:
        self.around = around
        self.unnamed = frozenset(unnamed)
        self.processors: dict[str, AnyProcessor] = {}
        self.broken = dict(broken or {})
        self.max_payload_bytes = max_payload_bytes
        for processor in processors:
            known = self.processors.setdefault(processor.name, processor)
            if known is not processor:
                raise ConfigurationError(
                    f"job type {processor.name!r} is claimed by two processors: "
                    f"{_origin(known)} and {_origin(processor)}; load only one of them"
                )
        self._groups = Groups(self.processors.values())
        self._check_limits()
        self._check_upcasts()
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

    def _check_upcasts(self) -> None:
        for processor in self.processors.values():
            if missing := processor.upcasts.missing():
                raise ConfigurationError(
                    f"job type {processor.name!r} has an upcaster from version {processor.upcasts.oldest}, and none "
                    f"from version {', '.join(map(str, missing))}: each leads to the next, up to {processor.version}"
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
            raise UnknownType(
                f"no processor for job type {type!r} is loaded (loaded: {known}){did_you_mean(type, self.processors)}; "
                "install its package or name its module in JOBKIT_PLUGINS"
            ) from None

    def kept(self) -> Sequence[str]:
        """Return the types that jobs have in queues and in the store: those outside of groups, and the groups."""
        return sorted({one.kept_as for one in self.processors.values()})

    def members(self, type: str) -> Sequence[AnyProcessor]:
        """Return the processors of the jobs that are kept as `type`; none where none is loaded."""
        return [one for one in self.processors.values() if one.kept_as == type]

    def check_priority(self, type: str, priority: str) -> Priority:
        """Return the priority of that name, if jobs that are kept as `type` can have it.

        Raises `ValueError`, or as `kept_as`.
        """
        return self._chosen([self.kept_as(type)])[0].priority_for(priority)

    def knows_priorities(self, type: str) -> bool:
        """Return whether jobs that are kept as `type` can have priorities."""
        return any(one.priority is not None for one in self.members(type))

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

    def log_retention_of(self, type: str) -> LogRetention | None:
        """Return how long the logs of the keys of a type are kept, or None for ever. Raises as `kept_as`."""
        return self._chosen([self.kept_as(type)])[0].log_retention

    def file_retention_of(self, type: str) -> FileRetention | None:
        """Return how long the files of the keys of a type are kept, or None until others replace them.

        Raises as `kept_as`.
        """
        return self._chosen([self.kept_as(type)])[0].file_retention

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
        envelope = job.envelope
        return ScheduledJob(
            type, envelope.body, envelope.key, job.ordered, envelope.priority, envelope.version, job.tenancy
        )

    def resources(self, types: Sequence[str] | None = None, given: Collection[Resource] = ()) -> Sequence[Resource]:
        """Return what has to be opened for the processors of `types` (default: all), in order; not what is `given`.

        Raises `ConfigurationError` where two of them have one name.
        """
        return in_order((one for processor in self._chosen(types) for one in processor.resources.values()), given)

    def settings(
        self, types: Sequence[str] | None = None, given: Collection[Resource] = ()
    ) -> Mapping[type[BaseSettings], BaseSettings]:
        """Return the settings of the processors of `types` (default: all), and of the resources that they need.

        They are validated from the environment; those of resources that are `given` are not asked for. Raises
        `ConfigurationError` with a line for each variable that is wrong.
        """
        validated: dict[type[BaseSettings], BaseSettings] = {}
        problems = []
        models = [processor.settings for processor in self._chosen(types) if processor.settings is not None]
        models += [model for one in self.resources(types, given) for model in one.settings.values()]
        for model in models:
            if model in validated:
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

    async def described(self, type: str) -> Sequence[str]:
        """Return what the processor of a type says that this machine can do, as `type: sentence`."""
        describe = self.get(type).describe
        return [] if describe is None else [f"{type}: {sentence}" for sentence in await describe()]

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
        priority: str | None = None,
        tenant: str | None = None,
        unique: Unique | None = None,
    ) -> NewJob:
        """Return the job that `payload` asks for, validated.

        Raises `UnknownType`, `PayloadInvalid`, or `ValueError` where it cannot be told when it is due, or the type does
        not know its priority, or tenants.
        """
        return new_job(
            self.get(type),
            payload,
            max_bytes=self.max_payload_bytes,
            key=key,
            id=id,
            submitted_at=submitted_at,
            trace=trace,
            at=at,
            after=after,
            expires=expires,
            priority=priority,
            tenant=tenant,
            unique=unique,
        )

    def noticed(self, job: NewJob, notify: Sequence[Notification]) -> NewJob:
        """Return a job whose end is told so. Raises as `notice`, and `PayloadInvalid` where that is too much."""
        return noticed(job, [self.notice(told, job.envelope) for told in notify])

    def notice(self, told: Notification, of: Envelope) -> Notice:
        """Return what goes with a job to tell of its end. Raises `UnknownType`, `PayloadInvalid` or `ValueError`."""
        processor = self.get(told.type)
        says_end = FIELD in processor.payload.model_fields
        payload = completed(told, of) if says_end else told.payload
        job = new_job(processor, payload, max_bytes=self.max_payload_bytes, key=told.key)
        return notice_of(told, job, says_end=says_end)


def _origin(processor: AnyProcessor) -> str:
    return f"{processor.function.__module__}.{processor.function.__qualname__}"
