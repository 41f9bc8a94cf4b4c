"""The `@processor` decorator: how a coroutine becomes a job type."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Concatenate, Generic, Literal, Protocol, TypedDict, TypeVar, Unpack, overload

from pydantic import PydanticUserError, ValidationError
from pydantic_settings import BaseSettings

from jobkit.errors import ConfigurationError, EffectInvalid, PayloadInvalid
from jobkit.handles.handle import Handle, ResultType
from jobkit.handles.sync_handle import SyncHandle
from jobkit.model import names
from jobkit.model.declared import unreadable_fields
from jobkit.model.limit import Limit
from jobkit.model.priority import Priority, PriorityName, chosen_priority, priority_of
from jobkit.model.read_back import Codec, NotReadBack
from jobkit.model.safe_text import ERROR_CHARACTERS, shown
from jobkit.model.unique import OnConflict, While
from jobkit.plugin import limits as limiting
from jobkit.plugin import middleware as surrounding
from jobkit.plugin.context import Context
from jobkit.plugin.isolation import Isolation, isolation_of
from jobkit.plugin.limits import Concurrency, Rate
from jobkit.plugin.middleware import AroundAttempt
from jobkit.plugin.notification import Notification, Notify
from jobkit.plugin.payload import Payload
from jobkit.plugin.resource import Resource
from jobkit.plugin.retry import RetryPolicy
from jobkit.plugin.signature import signature_of
from jobkit.plugin.sync_context import SyncContext
from jobkit.projections.projection import Projection

P = TypeVar("P", bound=Payload)
R = TypeVar("R")

# A type names queues, resources and folders in every backend, so it keeps to what all of them take.
_TYPE_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,62}")

Check = Callable[[], Awaitable[Sequence[str]]]


class SubmitOptions(TypedDict, total=False):
    """What may be said of a job besides its payload; `Client.submit` documents each."""

    key: str | None
    id: str | None
    at: datetime | None
    after: timedelta | None
    expires: datetime | timedelta | None
    priority: PriorityName | None
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
    machine can do, and is asked by `jobkit doctor`. `projections` move with the
    key's log, in the same commit. `limits` hold in the whole cluster, over all types that name them. `priority` is that
    of jobs that say none; without one the type knows no priorities. `notify` says of each job that takes effect who is
    told, in the same commit. `middleware` runs around each attempt. `resources` are what the function is given besides,
    by parameter. `isolation` is how its attempts are kept apart, where they are. What `private` ones say
    is not for everybody who may look.
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
    group: str | None
    limits: tuple[Concurrency | Rate, ...]
    priority: Priority | None
    notify: tuple[Notify, ...]
    middleware: tuple[AroundAttempt, ...]
    resources: Mapping[str, Resource]
    isolation: Isolation | None
    describe: Check | None
    private: bool
    _payloads: Codec[P]
    _results: Codec[R]

    @property
    def kept_as(self) -> str:
        """The job type that its jobs have in queues, leases and the store: the group's name, where it is in one."""
        return self.group or self.name

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

    def parse(self, body: bytes) -> P:
        """Return the payload in `body` (JSON). Raises `PayloadInvalid` naming each field that is wrong."""
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
        if isinstance(error, ValidationError):
            what = _sentences(error)
        else:
            what = str(error) if isinstance(error, NotReadBack) else shown(error, ERROR_CHARACTERS)
        return PayloadInvalid(f"payload of type {self.name!r} is not valid: {what}")

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
    group: str | None = None,
    limits: Sequence[Concurrency | Rate] = (),
    priority: PriorityName | None = None,
    notify: Sequence[Notify] = (),
    middleware: Sequence[AroundAttempt] = (),
    isolation: Literal["process"] | None = None,
    memory: str | int | None = None,
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

    With a `priority`, which is that of jobs that say none, jobs may be submitted as "high", "normal" or "low": each is
    begun before those that are less urgent, of which a share goes on all the same. Not for `ordered` types.

    What `private` jobs say, and what comes of them, the dashboard shows to operators, and not to viewers.

    Nothing is registered by decorating: name the module in `JOBKIT_PLUGINS`, or the processor in the entry
    point group `jobkit.processors`. Raises `ConfigurationError` where the declaration cannot work.
    """
    name = _checked_type(type)
    shared = None if group is None else _checked_type(group, "group")
    problems = _argument_problems(key, ordered, timeout, retry, settings, check, projections, describe)
    problems += limiting.problems_of(limits) + surrounding.problems_of(middleware)
    problems += _priority_problems(priority, ordered)
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
            group=shared,
            limits=tuple(limits),
            priority=None if priority is None else Priority(priority),
            notify=tuple(notify),
            middleware=tuple(middleware),
            resources=signature.resources,
            isolation=apart,
            describe=describe,
            private=private,
            _payloads=Codec(signature.payload),
            _results=_result_codec(name, signature.result),
        )

    return declare


def _checked_type(type: object, what: str = "job type") -> str:
    if not isinstance(type, str) or not _TYPE_NAME.fullmatch(type):
        raise ConfigurationError(
            f"{what} {shown(type)}: use lower-case letters, digits, '.', '_' and '-', a letter first, at most 63 of "
            "them"
        )
    if type == "leader":
        raise ConfigurationError(f"{what} 'leader' is taken: the leases of leaders have that name")
    return str.__str__(type)


def _argument_problems(
    key: object,
    ordered: object,
    timeout: object,
    retry: object,
    settings: object,
    check: object,
    projections: object,
    describe: object,
) -> list[str]:
    """Return what is wrong with the arguments of a declaration, whatever was given for them."""
    found = []
    if not callable(key) or inspect.iscoroutinefunction(key):
        found.append(f"key must be a plain function of the payload, such as key=lambda job: job.id, not {shown(key)}")
    if not isinstance(ordered, bool):
        found.append(f"ordered must be True or False, not {shown(ordered)}")
    if not isinstance(timeout, timedelta):
        found.append(f"timeout must be a timedelta, such as timedelta(minutes=5), not {shown(timeout)}")
    elif timeout <= timedelta(0):
        found.append(f"timeout must be positive, not {timeout}")
    if retry is not None and not isinstance(retry, RetryPolicy):
        found.append(f"retry must be a RetryPolicy, such as RetryPolicy(max_attempts=3), not {shown(retry)}")
    if settings is not None and not (inspect.isclass(settings) and issubclass(settings, BaseSettings)):
        found.append(f"settings must be a subclass of pydantic_settings.BaseSettings, not {shown(settings)}")
    for name, asked in (("check", check), ("describe", describe)):
        if asked is not None and not inspect.iscoroutinefunction(asked):
            found.append(f"{name} must be an 'async def' function that returns a list of sentences, not {shown(asked)}")
    if not isinstance(projections, list | tuple) or not all(isinstance(one, Projection) for one in projections):
        found.append(f"projections must be a list of Projection, not {shown(projections)}")
    elif len({projection.name for projection in projections}) < len(projections):
        found.append("two of its projections have one name")
    return found


def _priority_problems(priority: object, ordered: object) -> list[str]:
    if priority is None:
        return []
    if ordered is True:
        return ["an ordered type has no priority: a job that overtook others would break its key's order"]
    try:
        priority_of(priority)
    except ValueError as error:
        return [str(error)]
    return []


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
