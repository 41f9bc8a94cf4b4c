"""The declaration of a resource: what a worker opens once, for the processors and other resources that ask for it.

It promises nothing about who uses it when: all jobs of a worker share it, at the same time.
"""

from __future__ import annotations

import contextlib
import inspect
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args, get_origin, overload

import anyio.to_thread
from pydantic_settings import BaseSettings

from jobkit.errors import ConfigurationError
from jobkit.model.safe_text import shown

Health = Callable[[Any], Awaitable[object]]


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """What a worker opens before its first job and closes after its last, made by `function`.

    `gives` is the type of what is opened. `settings` and `needs` are what the function is called with, by parameter.
    `health` is asked now and then, and raises where what was opened does not work any more.
    """

    name: str
    function: Callable[..., Any]
    gives: Any
    settings: Mapping[str, type[BaseSettings]]
    needs: Mapping[str, Resource]
    health: Health | None = None

    def __str__(self) -> str:
        return f"{self.name!r} ({self.function.__module__}.{self.function.__qualname__})"

    def opening(self, arguments: Mapping[str, object]) -> AbstractAsyncContextManager[Any]:
        """Return what opens it when it is entered and closes it when it is left; blocking code runs in a thread."""
        function = partial(self.function, **arguments)
        if inspect.isasyncgenfunction(self.function):
            return asynccontextmanager(function)()
        if inspect.isgeneratorfunction(self.function):
            return _in_threads(contextmanager(function)())
        return _made(function, blocking=not inspect.iscoroutinefunction(self.function))


@asynccontextmanager
async def _in_threads(manager: contextlib.AbstractContextManager[Any]) -> AsyncIterator[Any]:
    value = await anyio.to_thread.run_sync(manager.__enter__, abandon_on_cancel=True)
    try:
        yield value
    finally:
        await anyio.to_thread.run_sync(manager.__exit__, None, None, None)


@asynccontextmanager
async def _made(function: Callable[[], Any], *, blocking: bool) -> AsyncIterator[Any]:
    yield await anyio.to_thread.run_sync(function, abandon_on_cancel=True) if blocking else await function()


@overload
def resource(function: Callable[..., Any], /) -> Resource: ...
@overload
def resource(*, health: Health) -> Callable[[Callable[..., Any]], Resource]: ...
def resource(
    function: Callable[..., Any] | None = None, /, *, health: Health | None = None
) -> Resource | Callable[[Callable[..., Any]], Resource]:
    """Declare a function that opens what the jobs of a worker share: a pool, an HTTP client, a model.

    It is a generator that yields once (`async def` or `def`), and closes what it opened after that; or a function that
    returns what need not be closed. Its parameters are settings (a subclass of `BaseSettings`, validated when a worker
    starts) and other resources. Processors ask for it by `Annotated[Pool, pool]`. `health` is an `async def` that gets
    what was opened and raises where that does not work any more.

    Nothing is opened by decorating. Raises `ConfigurationError` where the declaration cannot work.
    """
    if function is None:
        return lambda decorated: _declared(decorated, health)
    return _declared(function, health)


def _declared(function: Callable[..., Any], health: Health | None) -> Resource:
    if not inspect.isfunction(function):
        raise ConfigurationError(f"resource must decorate a function, not {shown(function)}")
    where = f"resource {function.__name__!r}"
    if health is not None and not inspect.iscoroutinefunction(health):
        raise ConfigurationError(f"{where}: health must be an 'async def' of what was opened, not {shown(health)}")
    hints = resolved_hints(function, where)
    if "return" not in hints:
        example = "AsyncIterator[Pool]" if inspect.isasyncgenfunction(function) else "Pool"
        raise ConfigurationError(f"{where} must say what it opens: '-> {example}'")
    settings: dict[str, type[BaseSettings]] = {}
    needs: dict[str, Resource] = {}
    for parameter in inspect.signature(function).parameters.values():
        hint = hints.get(parameter.name)
        if inspect.isclass(hint) and issubclass(hint, BaseSettings):
            settings[parameter.name] = hint
        else:
            needs[parameter.name] = asked_for(parameter, hint, where, also="settings (a subclass of BaseSettings), or ")
    return Resource(function.__name__, function, _given(function, hints["return"], where), settings, needs, health)


def resolved_hints(function: Callable[..., Any], where: str) -> dict[str, Any]:
    """Return the annotations of a function. Raises `ConfigurationError` naming what cannot be resolved."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ConfigurationError(f"{where}: an annotation cannot be resolved: {error}") from error


def asked_for(parameter: inspect.Parameter, hint: Any, where: str, *, also: str = "") -> Resource:
    """Return the resource that a parameter asks for. Raises `ConfigurationError` where it asks for none."""
    named = f"{where}: parameter {parameter.name!r}"
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise ConfigurationError(f"{named} cannot be given by its name: use no '/', '*args' or '**kwargs'")
    declared, *said = get_args(hint) if get_origin(hint) is typing.Annotated else (hint,)
    found = [one for one in said if isinstance(one, Resource)]
    if len(found) == 1:
        (wanted,) = found
        if not _fits(wanted.gives, declared):
            raise ConfigurationError(
                f"{named} is declared as {_name(declared)}, but resource {wanted} opens {_name(wanted.gives)}"
            )
        return wanted
    if found:
        raise ConfigurationError(f"{named} asks for {len(found)} resources: name one")
    if plain := next(filter(inspect.isfunction, said), None):
        raise ConfigurationError(f"{named}: {plain.__name__} is a plain function: decorate it with @resource")
    raise ConfigurationError(
        f"{named} must be {also}a resource: Annotated[Pool, pool], where pool is declared with @resource"
    )


def in_order(wanted: Iterable[Resource], given: Collection[Resource] = ()) -> Sequence[Resource]:
    """Return what has to be opened for `wanted`, each after all that it needs itself; what is `given` need not be.

    Raises `ConfigurationError` where two have one name, under which health and logs would tell of both.
    """
    found: dict[Resource, None] = {}

    def add(resource: Resource) -> None:
        if resource not in given and resource not in found:
            for needed in resource.needs.values():
                add(needed)
            found[resource] = None

    for resource in wanted:
        add(resource)
    named: dict[str, Resource] = {}
    for resource in found:
        if named.setdefault(resource.name, resource) is not resource:
            raise ConfigurationError(f"two resources are called {resource.name!r}: rename {resource}")
    return tuple(found)


def _given(function: Callable[..., Any], returned: Any, where: str) -> Any:
    """Return the type of what is opened."""
    if not (inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function)):
        return returned
    arguments = get_args(returned)
    if not arguments:
        raise ConfigurationError(f"{where} must say what it yields: '-> AsyncIterator[Pool]', not {_name(returned)}")
    return arguments[0]


def _fits(given: Any, declared: Any) -> bool:
    """Return whether what a resource opens can be what a parameter is declared as; True where that cannot be told."""
    if Any in (given, declared) or given == declared:
        return True
    one, other = get_origin(given) or given, get_origin(declared) or declared
    if not (inspect.isclass(one) and inspect.isclass(other)):
        # Unions, literals and the like: the type checker knows better.
        return True
    return getattr(other, "_is_protocol", False) or issubclass(one, other)


def _name(type: Any) -> str:
    return type.__name__ if inspect.isclass(type) else str(type)
