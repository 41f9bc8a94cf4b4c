"""The `@processor` decorator: how a coroutine becomes a job type."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_settings import BaseSettings

from jobkit.errors import ConfigurationError, PayloadInvalid
from jobkit.plugin.context import Context
from jobkit.plugin.payload import Payload
from jobkit.plugin.retry import RetryPolicy
from jobkit.projections.projection import Projection

P = TypeVar("P", bound=Payload)
R = TypeVar("R")

# A type names queues, resources and folders in every backend, so it keeps to what all of them take.
_TYPE_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,62}")

Check = Callable[[], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Processor(Generic[P, R]):
    """A job type, called `name`, and the coroutine that does it. Still callable like that coroutine.

    `timeout` bounds one attempt. `ordered` jobs of a key take effect in the sequence they were submitted in.
    `settings` is validated when a worker starts. `check` returns what is wrong with this machine, a sentence
    each, and is asked by `jobkit doctor` and when a worker starts. `projections` move with the key's log, in the same
    commit.
    """

    name: str
    function: Callable[[P, Context], Awaitable[R]]
    payload: type[P]
    key: Callable[[P], str]
    ordered: bool
    timeout: timedelta
    retry: RetryPolicy
    settings: type[BaseSettings] | None
    check: Check | None
    projections: tuple[Projection[Any], ...]
    _result: TypeAdapter[Any]

    async def __call__(self, job: P, ctx: Context) -> R:
        """Run the coroutine itself, as a test of it would."""
        return await self.function(job, ctx)

    def parse(self, body: bytes) -> P:
        """Return the payload in `body` (JSON). Raises `PayloadInvalid` naming each field that is wrong."""
        try:
            return self.payload.model_validate_json(body)
        except Exception as error:
            raise self._invalid(error) from error

    def from_mapping(self, values: Mapping[str, Any]) -> P:
        """Return the payload with these fields, as Python values. Raises `PayloadInvalid` likewise."""
        try:
            return self.payload.model_validate(values)
        except Exception as error:
            raise self._invalid(error) from error

    def _invalid(self, error: Exception) -> PayloadInvalid:
        # A validator of the model's own may raise anything.
        what = _sentences(error) if isinstance(error, ValidationError) else repr(error)
        return PayloadInvalid(f"payload of type {self.name!r} is not valid: {what}")

    def key_of(self, job: P) -> str:
        """Return the payload's key. Raises `PayloadInvalid` where that is not a usable string."""
        try:
            key = self.key(job)
        except Exception as error:
            raise PayloadInvalid(f"no key could be made of this payload of type {self.name!r}: {error!r}") from error
        return checked_key(key)

    def dump_result(self, result: R) -> bytes:
        """Return `result` as JSON. Raises `TypeError` where it cannot be written as such."""
        try:
            return self._result.dump_json(result)
        except Exception as error:
            raise TypeError(f"the result of type {self.name!r} cannot be written as JSON: {error}") from error


def checked_key(key: object) -> str:
    """Return `key` if it may name a key. Raises `PayloadInvalid` otherwise."""
    if not isinstance(key, str) or not key or len(key.encode("utf-8", "surrogatepass")) > 512 or "\0" in key:
        raise PayloadInvalid(f"a key must be a string of 1 to 512 bytes without NUL, not {key!r:.80}")
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise PayloadInvalid(f"a key must be valid Unicode, not {key!r:.80}") from error
    return key


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
) -> Callable[[Callable[[P, Context], Awaitable[R]]], Processor[P, R]]:
    """Declare `async def f(job: SomePayload, ctx: Context) -> SomeResult` to be the processor of job type `type`.

    Nothing is registered by decorating: name the module in `JOBKIT_PLUGINS`, or the processor in the entry
    point group `jobkit.processors`. Raises `ConfigurationError` where the declaration cannot work.
    """
    if not _TYPE_NAME.fullmatch(type):
        raise ConfigurationError(
            f"job type {type!r}: use lower-case letters, digits, '.', '_' and '-', a letter first, at most 63 of them"
        )
    if type == "leader":
        raise ConfigurationError("job type 'leader' is taken: the leases of leaders have that name")
    if len({projection.name for projection in projections}) < len(projections):
        raise ConfigurationError(f"job type {type!r}: two of its projections have one name")
    if timeout <= timedelta(0):
        raise ConfigurationError(f"job type {type!r}: timeout must be positive")

    def declare(function: Callable[[P, Context], Awaitable[R]]) -> Processor[P, R]:
        payload, result = _signature(type, function)
        try:
            results: TypeAdapter[Any] = TypeAdapter(result)
        except PydanticUserError as error:
            raise ConfigurationError(
                f"processor of job type {type!r} returns {result!r}, which cannot be written as JSON: "
                "return a jobkit.Result, a value of plain types, or None"
            ) from error
        return Processor(
            name=type,
            function=function,
            payload=payload,
            key=key,
            ordered=ordered,
            timeout=timeout,
            retry=retry or RetryPolicy(),
            settings=settings,
            check=check,
            projections=tuple(projections),
            _result=results,
        )

    return declare


def _signature(type: str, function: Callable[..., Any]) -> tuple[Any, Any]:
    """Return the payload class and the result annotation of a processor function."""
    if not inspect.iscoroutinefunction(function):
        raise ConfigurationError(f"processor of job type {type!r} must be an 'async def' function")
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise ConfigurationError(
            f"processor of job type {type!r}: an annotation cannot be resolved: {error}"
        ) from error
    names = list(inspect.signature(function).parameters)
    payload = hints.get(names[0]) if len(names) == 2 else None
    if not (inspect.isclass(payload) and issubclass(payload, Payload)):
        raise ConfigurationError(
            f"processor of job type {type!r} must take (job: SomePayload, ctx: Context), "
            "where SomePayload is a subclass of jobkit.Payload"
        )
    return payload, hints.get("return", Any)


def _sentences(error: ValidationError) -> str:
    """Return a validation error on one line: where, what; where, what."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'payload'}: {item['msg']}" for item in error.errors()
    )
