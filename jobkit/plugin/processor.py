"""The `@processor` decorator: how a coroutine becomes a job type."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Concatenate, Generic, Literal, Protocol, TypedDict, TypeVar, Unpack, overload

from pydantic import PydanticUserError, ValidationError
from pydantic_settings import BaseSettings

from jobkit.errors import ConfigurationError, EffectInvalid, PayloadInvalid, PayloadNewer
from jobkit.handles.handle import Handle, ResultType
from jobkit.handles.sync_handle import SyncHandle
from jobkit.model import names
from jobkit.model.field_check import unreadable_fields
from jobkit.model.limit import Limit
from jobkit.model.priority import Priority, PriorityName, chosen_priority, priority_of
from jobkit.model.read_back import Codec, NotReadBack
from jobkit.model.safe_text import ERROR_CHARACTERS, shown
from jobkit.model.tenancy import Tenancy
from jobkit.model.unique import OnConflict, While
from jobkit.plugin import file_retention as keeping_files
from jobkit.plugin import limits as limiting
from jobkit.plugin import log_retention as keeping_logs
from jobkit.plugin import middleware as surrounding
from jobkit.plugin import tenants as taking_turns
from jobkit.plugin.context import Context
from jobkit.plugin.declaration import argument_problems, checked_type, priority_problems, version_problems
from jobkit.plugin.file_retention import FileRetention
from jobkit.plugin.isolation import Isolation, isolation_of
from jobkit.plugin.limits import Concurrency, Rate
from jobkit.plugin.log_retention import LogRetention
from jobkit.plugin.middleware import AroundAttempt
from jobkit.plugin.notification import Notification, Notify
from jobkit.plugin.payload import Payload
from jobkit.plugin.resource import Resource
from jobkit.plugin.retry import RetryPolicy
from jobkit.plugin.signature import signature_of
from jobkit.plugin.sync_context import SyncContext
from jobkit.plugin.tenants import Tenants, tenants_of
from jobkit.plugin.upcast import U, Upcasts
from jobkit.projections.projection import Projection

P = TypeVar("P", bound=Payload)
R = TypeVar("R")


Check = Callable[[], Awaitable[Sequence[str]]]


class SubmitOptions(TypedDict, total=False):
    """What may be said of a job besides its payload; `Client.submit` documents each."""

    key: str | None
    id: str | None
    at: datetime | None
    after: timedelta | None
    expires: datetime | timedelta | None
    priority: PriorityName | None
    tenant: str | None
    tags: Collection[str]
    unique: str | None
    while_: While
    on_conflict: OnConflict
    notify: Sequence[Notification]
    connection: Any


class SyncSubmitter(Protocol):
    """What a processor's jobs are submitted by in a program without an event loop."""

    def submit_to(self, processor: Processor[P, R], payload: P, **options: Unpack[SubmitOptions]) -> SyncHandle[R]:
        """Accept a job of the processor, and return a handle of it."""
        ...


class Submitter(Protocol):
    """What a processor's jobs are submitted by: a client."""

    async def submit_to(self, processor: Processor[P, R], payload: P, **options: Unpack[SubmitOptions]) -> Handle[R]:
        """Accept a job of the processor, and return a handle of it."""
        ...


@dataclass(frozen=True, slots=True)
class Processor(Generic[P, R]):
    """A job type, called `name`, and the function that does it. Still callable like that function.

    `timeout` bounds one attempt. `ordered` jobs of a key take effect in the sequence they were submitted in. Types of
    one `group` share their keys. `settings` is validated when a worker starts. `check` returns what is wrong with this
    machine, a sentence each, and is asked by `jobkit doctor` and when a worker starts; `describe` returns what this
    machine can do, and is asked by `jobkit doctor`. `projections` move with the key's log, in the same commit;
    `log_retention` is how long that is kept, if not for ever, and `file_retention` how long its files are. `limits`
    hold in the whole cluster, over all types that name them. `priority` is that of jobs that say none; without one the
    type knows no priorities. `tenants`, where it has some, take turns. `notify` says of each job that takes effect who
    is told, in the same commit. `middleware` runs around each attempt.
    `resources` are what the function is given besides, by parameter. `isolation` is how its attempts are kept apart,
    where they are. `upcasts` lead from payloads of earlier versions to those of today's. What `private` ones say is not
    for everybody who may look.
    """

    name: str
    function: Callable[..., Any]
    payload: type[P]
    result: Any
    key: Callable[[P], str]
    ordered: bool
    timeout: timedelta
    retry: RetryPolicy
    settings: type[BaseSettings] | None
    check: Check | None
    projections: tuple[Projection[Any], ...]
    log_retention: LogRetention | None
    file_retention: FileRetention | None
    group: str | None
    limits: tuple[Concurrency | Rate, ...]
    priority: Priority | None
    tenants: Tenants | None
    notify: tuple[Notify, ...]
    middleware: tuple[AroundAttempt, ...]
    resources: Mapping[str, Resource]
    isolation: Isolation | None
    upcasts: Upcasts
    describe: Check | None
    private: bool
    _payloads: Codec[P]
    _results: Codec[R]

    @property
    def kept_as(self) -> str:
        """The job type that its jobs have in queues, leases and the store: the group's name, where it is in one."""
        return self.group or self.name

    @property
    def version(self) -> int:
        """The version of its payloads."""
        return self.upcasts.version

    @property
    def result_type(self) -> ResultType[R]:
        """What the results of its jobs are read as."""
        return ResultType(self.kept_as, self.load_result)

    @overload
    def submit(
        self, client: Submitter, payload: P, **options: Unpack[SubmitOptions]
    ) -> Coroutine[Any, Any, Handle[R]]: ...

    @overload
    def submit(self, client: SyncSubmitter, payload: P, **options: Unpack[SubmitOptions]) -> SyncHandle[R]: ...

    def submit(
        self, client: Submitter | SyncSubmitter, payload: P, **options: Unpack[SubmitOptions]
    ) -> Coroutine[Any, Any, Handle[R]] | SyncHandle[R]:
        """Submit a job, and return a handle that its progress and its result come from, typed as declared here.

        With a `Client` it is awaited, with a `SyncClient` it waits. The options are those of `Client.submit`, and so
        are the errors. The client needs no plugin to be named in JOBKIT_PLUGINS for it.
        """
        return client.submit_to(self, payload, **options)

    @property
    def blocking(self) -> bool:
        """Whether it is a plain `def`, which runs in a thread or a process of its own."""
        return not inspect.iscoroutinefunction(self.function)

    async def __call__(self, job: P, ctx: Context | SyncContext, **resources: Any) -> R:
        """Run the function itself, as a test of it would."""
        returned = self.function(job, ctx, **resources)
        result: R = returned if self.blocking else await returned
        return result

    def upcast(self, *, from_version: int) -> Callable[[U], U]:
        """Declare a function from the fields of a payload of that version to those of the next: plain JSON values.

        Payloads of earlier versions go through one after another before they are validated. Raises
        `ConfigurationError` where it cannot be an upcaster.
        """
        return lambda function: self.upcasts.add(from_version, function)

    def parse(self, body: bytes, version: int | None = None) -> P:
        """Return the payload in `body` (JSON), of that version where it is not of today's.

        Raises `PayloadInvalid` naming each field that is wrong; `PayloadNewer` where a later version may take it.
        """
        if version is not None and version != self.upcasts.version:
            body = self.upcasts.lift(body, version)
        try:
            return self._payloads.load(body)
        except Exception as error:
            raise self._invalid(error) from error

    def from_mapping(self, values: Mapping[str, Any]) -> P:
        """Return the payload with these fields, as Python values. Raises `PayloadInvalid` likewise."""
        try:
            return self.payload.model_validate(values)
        except Exception as error:
            raise self._invalid(error) from error

    def dump(self, job: P) -> bytes:
        """Return the payload as JSON that reads back equal. Raises `PayloadInvalid` naming a field that does not."""
        try:
            return self._payloads.dump(job, "payload")
        except NotReadBack as error:
            raise self._invalid(error) from error

    def _invalid(self, error: Exception) -> PayloadInvalid:
        # A validator of the model's own may raise anything.
        kind = PayloadInvalid
        if isinstance(error, ValidationError):
            what = _sentences(error)
            if all(item["type"] == "extra_forbidden" for item in error.errors(include_url=False)):
                kind = PayloadNewer
        else:
            what = str(error) if isinstance(error, NotReadBack) else shown(error, ERROR_CHARACTERS)
        return kind(f"payload of type {self.name!r} is not valid: {what}")

    def key_of(self, job: P) -> str:
        """Return the payload's key. Raises `PayloadInvalid` where that is not a usable string."""
        try:
            key = self.key(job)
        except Exception as error:
            raise PayloadInvalid(
                f"no key could be made of this payload of type {self.name!r}: {shown(error, ERROR_CHARACTERS)}"
            ) from error
        return checked_key(key)

    def limits_of(self, job: P) -> tuple[Limit, ...]:
        """Return the limits that the payload needs. Raises `PayloadInvalid` where one has no usable key for it."""
        if not self.limits:
            return ()
        try:
            return limiting.needed(self.limits, job)
        except Exception as error:
            raise PayloadInvalid(
                f"no key of a limit could be made of this payload of type {self.name!r}: "
                f"{shown(error, ERROR_CHARACTERS)}"
            ) from error

    def priority_for(self, asked: str | None) -> Priority:
        """Return the priority of a job that is submitted with this one, or with none.

        Raises `ValueError` where it is none, or the type knows no priorities.
        """
        if self.ordered and asked is not None and priority_of(asked) is not Priority.NORMAL:
            raise ValueError(
                f"job type {self.name!r} is ordered: its jobs know no priority, since one that overtook others would "
                "break its key's order"
            )
        return chosen_priority(self.name, asked, self.priority)

    def tenancy_of(self, job: P, given: str | None) -> Tenancy | None:
        """Return whose a job is, that tenant's if one is `given`; None where the type has no tenants.

        Raises `PayloadInvalid` where that is no usable name, or `ValueError` where one is given to such a type.
        """
        if self.tenants is None:
            taking_turns.refuse_tenant(self.name, given)
            return None
        return self.tenants.tenancy(self.name, job, given)

    def dump_result(self, result: R) -> bytes:
        """Return `result` as JSON. Raises `EffectInvalid` where it is not what the processor is declared to return."""
        try:
            return self._results.dump(result, "result")
        except NotReadBack as error:
            raise EffectInvalid(f"the result of type {self.name!r} is not kept as it is: {error}") from error

    def load_result(self, raw: bytes) -> R:
        """Return the result in what `dump_result` made."""
        return self._results.load(raw)


def checked_key(key: object) -> str:
    """Return `key` as plain text, if it may name a key. Raises `PayloadInvalid` otherwise."""
    try:
        return names.KEY.check(key)
    except ValueError as error:
        raise PayloadInvalid(str(error)) from error


class Declare(Protocol):
    """Makes a processor of a function."""

    @overload
    def __call__(self, function: Callable[Concatenate[P, Context, ...], Awaitable[R]], /) -> Processor[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[P, SyncContext, ...], R], /) -> Processor[P, R]: ...


def processor(
    type: str,
    *,
    key: Callable[[Any], str],
    ordered: bool = False,
    timeout: timedelta = timedelta(hours=1),
    retry: RetryPolicy | None = None,
    settings: type[BaseSettings] | None = None,
    check: Check | None = None,
    projections: Sequence[Projection[Any]] = (),
    log_retention: LogRetention | None = None,
    file_retention: FileRetention | None = None,
    group: str | None = None,
    limits: Sequence[Concurrency | Rate] = (),
    priority: PriorityName | None = None,
    tenant: Callable[[Any], str] | None = None,
    places: int | None = None,
    notify: Sequence[Notify] = (),
    middleware: Sequence[AroundAttempt] = (),
    isolation: Literal["process"] | None = None,
    memory: str | int | None = None,
    version: int = 1,
    describe: Check | None = None,
    private: bool = False,
) -> Declare:
    """Declare `async def f(job: SomePayload, ctx: Context) -> SomeResult` to be the processor of job type `type`.

    Further parameters are resources, such as `db: Annotated[Pool, pool]`, which the worker has opened. A plain
    `def f(job: SomePayload, ctx: SyncContext)` may block: it runs in a thread; or, with `isolation="process"`, in a
    process of its own, which is killed when its attempt is over and may have so much `memory`, such as "2 GiB".

    Types that name the same `group` share their keys: over all of them, the jobs of a key run one at a time, have one
    order, and write one log. Each function in `notify` is called with the payload, the result and the `JobInfo` of a
    job that is about to commit, and may return a `Notification`: that job is submitted if, and only if, this one
    commits.

    Entries of a key's log are kept for ever; or, by `log_retention`, for so long; or, by "snapshot", until the
    projections have a snapshot of them. Those that a projection has no snapshot of are always kept.

    A key's files are kept until a commit replaces them; or, by `file_retention="group"`, until the job has ended that
    the group of theirs ends in, for which they were made. A dead one is waited for as long as it is known.

    With a `priority`, which is that of jobs that say none, jobs may be submitted as "high", "normal" or "low": each is
    begun before those that are less urgent, of which a share goes on all the same. Not for `ordered` types.

    With a `tenant`, those whose jobs wait take turns: of each one's at most so many (`places`: 32) are in the queue or
    run at a time, and the others wait for one of those to end. Not for `ordered` types.

    The `version` is that of the payload's model. Raise it where payloads that were valid are no more, and say with
    `upcast` what becomes of them. What `private` jobs say, and what comes of them, the dashboard shows to operators,
    and not to viewers.

    Nothing is registered by decorating: name the module in `JOBKIT_PLUGINS`, or the processor in the entry
    point group `jobkit.processors`. Raises `ConfigurationError` where the declaration cannot work.
    """
    name = checked_type(type)
    shared = None if group is None else checked_type(group, "group")
    problems = argument_problems(key, ordered, timeout, retry, settings, check, projections, describe)
    problems += limiting.problems_of(limits) + surrounding.problems_of(middleware)
    problems += keeping_logs.problems_of(log_retention, projections) + keeping_files.problems_of(file_retention)
    problems += priority_problems(priority, ordered) + version_problems(version)
    problems += taking_turns.problems_of(tenant, places, ordered)
    if not isinstance(notify, list | tuple) or not all(map(callable, notify)):
        problems.append(f"notify must be a list of functions, such as [webhook_event(...)], not {shown(notify)}")
    if problems:
        raise ConfigurationError("\n".join(f"job type {name!r}: {problem}" for problem in problems))

    def declare(function: Callable[..., Any]) -> Processor[Any, Any]:
        signature = signature_of(name, function)
        apart = isolation_of(
            f"job type {name!r}", function, isolation, memory, asks_for_resources=bool(signature.resources)
        )
        problems = unreadable_fields(signature.payload) + unreadable_fields(signature.result)
        if problems:
            raise ConfigurationError("\n".join(f"job type {name!r}: {problem}" for problem in problems))
        return Processor(
            name=name,
            function=function,
            payload=signature.payload,
            result=signature.result,
            key=key,
            ordered=ordered,
            timeout=timeout,
            retry=retry or RetryPolicy(),
            settings=settings,
            check=check,
            projections=tuple(projections),
            log_retention=log_retention,
            file_retention=file_retention,
            group=shared,
            limits=tuple(limits),
            priority=None if priority is None else Priority(priority),
            tenants=tenants_of(tenant, places),
            notify=tuple(notify),
            middleware=tuple(middleware),
            resources=signature.resources,
            isolation=apart,
            upcasts=Upcasts(name, version),
            describe=describe,
            private=private,
            _payloads=Codec(signature.payload),
            _results=_result_codec(name, signature.result),
        )

    return declare


def _result_codec(type: str, result: Any) -> Codec[Any]:
    try:
        return Codec(result)
    except PydanticUserError as error:
        raise ConfigurationError(
            f"processor of job type {type!r} returns {result!r}, which cannot be written as JSON: "
            "return a jobkit.Result, a value of plain types, or None"
        ) from error


def _sentences(error: ValidationError) -> str:
    """Return a validation error on one line: where, what; where, what."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'payload'}: {item['msg']}" for item in error.errors()
    )
