"""From a coroutine function of an asynchronous class to a method that waits for it, with the same signature."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

A_co = TypeVar("A_co", covariant=True)
A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")


class Blocks(Protocol[A_co]):
    """What has the asynchronous object, in a loop of another thread."""

    def call(self, function: Callable[[A_co], Awaitable[T]]) -> T:
        """Run `function` there and return what it returns."""
        ...

    def call_with(self, connection: Any, function: Callable[[A_co, Any], Awaitable[T]]) -> T:
        """Do so, with a connection of the caller's as the loop may use it."""
        ...


def blocking(
    method: Callable[Concatenate[A, P], Awaitable[T]],
) -> Callable[Concatenate[Blocks[A], P], T]:
    """Return `method` as one that waits. A `connection` that it is given stays in the thread of the caller."""

    @functools.wraps(method)
    def waiting(self: Blocks[A], /, *args: P.args, **kwargs: P.kwargs) -> T:
        connection = kwargs.get("connection")
        if connection is None:
            return self.call(lambda one: method(one, *args, **kwargs))
        return self.call_with(connection, lambda one, lent: method(one, *args, **{**kwargs, "connection": lent}))

    return waiting
