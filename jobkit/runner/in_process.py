"""Runs a processor in a process of its own, which is killed when the attempt is over, whatever it does.

The process has neither lease nor fence: it asks this one for all that it does through its context. It is started anew
for each attempt (spawned, not forked), in a session of its own, so that what it started is killed with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from contextlib import suppress
from typing import Any

import anyio

from jobkit.errors import ConfigurationError, MemoryExceeded, ProcessDied
from jobkit.model.byte_size import byte_size
from jobkit.plugin.context import Context
from jobkit.plugin.groups import AnyProcessor
from jobkit.runner.carried_error import CarriedError
from jobkit.runner.child_wire import LENGTH, OUT_OF_MEMORY, Answer, Ask, Begin, Done, Failed, Log, packed, unpacked
from jobkit.runner.context_calls import ContextCalls

# How long the kernel may take to end a process that it was told to kill.
_REAP_SECONDS = 4.0


async def in_process(processor: AnyProcessor, job: Any, ctx: Context) -> Any:
    """Return what the processor returns for the job, or raise what it raises.

    Raises `MemoryExceeded` where it needs more memory than it may have, and `ProcessDied` where its process ends
    without a word, killed by a signal perhaps. When this is cancelled, so is the process: by SIGKILL.
    """
    begin = _begin(processor, job, ctx)
    ours, theirs = socket.socketpair()
    with ours:
        # Shielded: of what has been started this has to know, or nobody could end it.
        with theirs, anyio.CancelScope(shield=True):
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "jobkit.runner.child_main",
                str(theirs.fileno()),
                str(os.getpid()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
            try:
                ended = await _converse(reader, writer, begin, ctx)
            finally:
                writer.close()
            if ended is None:
                raise _died(await child.wait(), processor)
        finally:
            await _kill(child)
    if isinstance(ended, Done):
        return processor.load_result(ended.result)
    error = ended.error.error()
    if isinstance(error, MemoryError) and processor.isolation is not None and processor.isolation.memory is not None:
        raise _exceeded(processor) from error
    raise error


def _begin(processor: AnyProcessor, job: Any, ctx: Context) -> bytes:
    function, memory = processor.function, None if processor.isolation is None else processor.isolation.memory
    if function.__module__ == "__main__":
        raise ConfigurationError(
            f"job type {processor.name!r} runs in a process of its own, which cannot import the program that was "
            "started: put its processor into a module"
        )
    body = processor.dump(job)
    return packed(Begin(list(sys.path), function.__module__, function.__qualname__, body, ctx.job, memory))


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, begin: bytes, ctx: Context
) -> Done | Failed | None:
    """Do what the process asks for, until it says how it has ended; None where it went without a word."""
    calls = ContextCalls(ctx)
    try:
        writer.write(begin)
        while True:
            (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
            message = unpacked(await reader.readexactly(length))
            match message:
                case Ask(name, arguments, named):
                    writer.write(await _answer(calls, name, arguments, named))
                    await writer.drain()
                case Log(level, event, fields):
                    getattr(ctx.log, level)(event, **fields)
                case Done() | Failed():
                    return message
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


async def _answer(calls: ContextCalls, name: str, arguments: tuple[Any, ...], named: Any) -> bytes:
    try:
        return packed(Answer(await calls.call(name, arguments, named)))
    except Exception as error:  # noqa: BLE001  (it is raised where the call was made)
        return packed(Failed(CarriedError.of(error)))


async def _kill(child: Process) -> None:
    """Kill the process and what it has started, and reap it."""
    # The group, also where the process itself has ended: what it started may be there still.
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    with anyio.move_on_after(_REAP_SECONDS, shield=True):
        await child.wait()


def _died(code: int, processor: AnyProcessor) -> ProcessDied:
    if code == OUT_OF_MEMORY:
        return _exceeded(processor)
    if code < 0:
        told = f"was killed by {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            told += " (by the kernel, perhaps, because the machine has no memory left)"
    else:
        told = f"ended with exit code {code}"
    return ProcessDied(f"the process of the attempt {told} before it said how the attempt went")


def _exceeded(processor: AnyProcessor) -> MemoryExceeded:
    memory = processor.isolation.memory if processor.isolation is not None else None
    return MemoryExceeded(f"the attempt needs more than the {byte_size(memory or 0)} of memory that it may have")
