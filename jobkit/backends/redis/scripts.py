"""Scripts by the hundred: what is asked for at the same time goes in one request, and as one call of each script.

A call keeps its atomicity, since a script runs as a whole on the server, and an error of one call is that call's own.
Nothing is sent twice: where an answer does not come, whether the script ran is unknown, and the caller is told so.

Callers never touch the connection. It belongs to one task, answers come in the order of the requests, and at the first
doubt (an error, a silence) it is closed; so a caller that is cancelled can leave nothing behind for the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import hiredis
import structlog
from redis.asyncio.connection import Connection
from redis.exceptions import InvalidResponse, NoScriptError, RedisError, ResponseError

from jobkit.backends.redis.connection import Connector
from jobkit.backends.redis.faults import ends_connection, translated
from jobkit.errors import Unavailable
from jobkit.model.plane import Plane

_log = structlog.get_logger("jobkit.redis")

Argument = str | bytes

# Everything carries one hash tag, so that it lies in one slot wherever slots matter: scripts touch several keys.
PREFIX = "{jobkit}:"
# An answer that takes longer is worth nothing to a lease; at 500 ms round trips there is room for several.
REPLY_SECONDS = 5.0
# Large enough that a call costs little, and small enough that the server works on one while the next is made.
_LARGEST_BATCH = 64
# While an answer is awaited, fewer calls than this wait for company, though not for longer than that; a fast server
# answers sooner.
_SMALL_BATCH = 32
_GATHER_SECONDS = 0.002
_LARGEST_BATCH_BYTES = 1 << 20
_ARGUMENT_BYTES = 8
# The server closes the connection of whoever sends more than 2 ** 20, or one of more than 512 MB.
_MOST_ARGUMENTS = 900_000
_MOST_BYTES = 500_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """A Lua script, known to the server by its SHA-1."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


def spelled(text: str) -> bytes:
    """Return text for people as it can be sent: halves of characters, as in names of broken files, are spelled out."""
    return text.encode(errors="backslashreplace")


def load_script(*names: str) -> Script:
    """Return the script that the named files in `lua` make up, the last of which defines `run`.

    `run` takes the arguments of one call and returns its answer; it is called for each of the calls of a request.
    """
    folder = resources.files("jobkit.backends.redis").joinpath("lua")
    return Script("\n".join(folder.joinpath(f"{name}.lua").read_text() for name in ("prefix", *names, "calls")))


@dataclass(eq=False, slots=True)
class _Call:
    script: Script
    arguments: Sequence[bytes]
    size: int
    answer: asyncio.Future[Any]
    spared: bool = False


@dataclass(frozen=True, slots=True)
class _Request:
    script: Script
    calls: list[_Call]
    deadline: float


class Scripts:
    """Runs scripts for one plane, over one connection of its own. Made inside a running event loop."""

    def __init__(self, connector: Connector, plane: Plane, *, reply_seconds: float = REPLY_SECONDS) -> None:
        self.round_trips = 0
        self._connector = connector
        self._plane = plane
        self._reply_seconds = reply_seconds
        self._queue: deque[_Call] = deque()
        self._asked = asyncio.Event()
        # Requests whose answers are still to come, in the order in which those will come.
        self._under_way: deque[_Request] = deque()
        self._answered = asyncio.Event()
        self._known: set[Script] = set()
        self._closed = False
        self._task = asyncio.create_task(self._serve_until_closed(), name="jobkit-redis-scripts")

    async def run(self, script: Script, *arguments: Argument) -> Any:
        """Run `script` and return its answer.

        Raises `Unavailable`, after which it is unknown whether it ran, `ConfigurationError`, or the driver's
        `ResponseError` where the script is wrong, and `ValueError` for what cannot be sent.
        """
        if self._closed:
            raise Unavailable(self._plane, f"{self._connector.name} is closed in this process")
        if len(arguments) > _MOST_ARGUMENTS:
            raise ValueError(f"this is more than Redis takes in one request: {len(arguments)} values")
        encoded = [text.encode() if isinstance(text, str) else text for text in arguments]
        size = sum(map(len, encoded)) + _ARGUMENT_BYTES * len(encoded)
        if size > _MOST_BYTES:
            raise ValueError(f"this is more than Redis takes in one request: {size:,} bytes")
        call = _Call(script, encoded, size, asyncio.get_running_loop().create_future())
        self._queue.append(call)
        self._asked.set()
        return await call.answer

    async def aclose(self) -> None:
        """Close the connection; whoever still waits is told that the outcome is unknown."""
        self._closed = True
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._refuse_all(Unavailable(self._plane, f"{self._connector.name} was closed in this process"))

    # ---- one connection after another ------------------------------------------------------------------------------

    async def _serve_until_closed(self) -> None:
        # Not for ever: a task group that is ending because of an error swallows the cancellation that comes just then.
        while not self._closed:
            await self._asked.wait()
            try:
                async with self._connector.connected() as connection:
                    await self._serve(connection)
            except Exception as error:  # noqa: BLE001  (it goes to the callers, who would wait for ever otherwise)
                self._refuse_all(error)

    async def _serve(self, connection: Connection) -> None:
        self._known.clear()
        try:
            async with asyncio.TaskGroup() as tasks, asyncio.timeout(None) as patience:
                tasks.create_task(self._send_forever(connection, patience))
                await self._receive_forever(connection, patience)
        except ExceptionGroup as group:
            error = group.exceptions[0]
            _log.warning(
                "connection lost",
                plane=self._plane,
                server=self._connector.name,
                error=f"{type(error).__name__}: {error}",
            )
            self._refuse_sent(error)

    def _refuse_sent(self, error: Exception) -> None:
        """Tell those whose requests were sent. Who was not yet served goes on to the next connection, but only once."""
        waiting = list(self._queue)
        self._queue.clear()
        for call in waiting:
            if call.spared:
                self._refuse(call, error)
            else:
                call.spared = True
                self._queue.append(call)
        for request in self._under_way:
            for call in request.calls:
                self._refuse(call, error)
        self._under_way.clear()
        if self._queue:
            self._asked.set()
        else:
            self._asked.clear()

    def _refuse_all(self, error: Exception) -> None:
        for call in self._queue:
            call.spared = True
        self._refuse_sent(error)

    def _refuse(self, call: _Call, error: Exception) -> None:
        # A caller that was cancelled has nobody left to tell.
        if not call.answer.done():
            call.answer.set_exception(translated(error, self._plane, self._connector.name))
            # Looked at, so that nothing is logged where its caller is cancelled just now.
            call.answer.exception()

    # ---- out -------------------------------------------------------------------------------------------------------

    async def _send_forever(self, connection: Connection, patience: asyncio.Timeout) -> None:
        while True:
            await self._asked.wait()
            if self._under_way and len(self._queue) < _SMALL_BATCH:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_GATHER_SECONDS):
                        await self._answered.wait()
            # Let everything that is ready ask first.
            await asyncio.sleep(0)
            calls = self._next_calls()
            if not self._queue:
                self._asked.clear()
            if calls:
                await connection.send_packed_command(self._requests(calls, patience), check_health=False)

    def _next_calls(self) -> list[_Call]:
        calls: list[_Call] = []
        size = 0
        while self._queue and len(calls) < _LARGEST_BATCH and size < _LARGEST_BATCH_BYTES:
            call = self._queue.popleft()
            if not call.answer.done():
                calls.append(call)
                size += call.size
        return calls

    def _requests(self, calls: list[_Call], patience: asyncio.Timeout) -> bytes:
        """Return one request for each script, and expect the answers to them."""
        by_script: dict[Script, list[_Call]] = {}
        for call in calls:
            by_script.setdefault(call.script, []).append(call)
        deadline = asyncio.get_running_loop().time() + self._reply_seconds
        if not self._under_way:
            patience.reschedule(deadline)
            self._answered.clear()
        self.round_trips += 1
        packed = []
        for script, same in by_script.items():
            how = ("EVALSHA", script.sha) if script in self._known else ("EVAL", script.text)
            self._known.add(script)
            self._under_way.append(_Request(script, same, deadline))
            command: list[str | bytes | int] = [*how, 1, PREFIX]
            for call in same:
                command.append(len(call.arguments))
                command += call.arguments
            packed.append(hiredis.pack_command(tuple(command)))  # type: ignore[arg-type]  # typed as a 1-tuple
        return b"".join(packed)

    # ---- in --------------------------------------------------------------------------------------------------------

    async def _receive_forever(self, connection: Connection, patience: asyncio.Timeout) -> None:
        while True:
            answers: Any
            try:
                answers = await connection.read_response(timeout=math.inf)
            except ResponseError as error:
                answers = error
            if not self._under_way:
                raise InvalidResponse("an answer came that nobody had asked for")
            self._settle(self._under_way[0], answers)
            self._under_way.popleft()
            patience.reschedule(self._under_way[0].deadline if self._under_way else None)
            if not self._under_way:
                self._answered.set()

    def _settle(self, request: _Request, answers: Any) -> None:
        if isinstance(answers, NoScriptError):
            # What was not known did not run, so it is safe to send again.
            self._known.discard(request.script)
            self._queue.extendleft(reversed(request.calls))
            self._asked.set()
            return
        if isinstance(answers, ResponseError):
            answers = [answers] * len(request.calls)
        if not isinstance(answers, list) or len(answers) != len(request.calls):
            raise InvalidResponse("an answer came that cannot be the one to what was asked")
        last_straw = None
        for call, answer in zip(request.calls, answers, strict=True):
            if isinstance(answer, RedisError):
                self._refuse(call, answer)
                last_straw = answer if ends_connection(answer) else last_straw
            elif not call.answer.done():
                call.answer.set_result(answer)
        if last_straw is not None:
            raise last_straw
