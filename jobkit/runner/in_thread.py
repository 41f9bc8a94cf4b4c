"""Runs a plain `def` processor in a thread of its own.

What it does not promise: to end it. A thread cannot be stopped from outside; once its attempt is over it runs on until
its next call of the context, which raises `AttemptOver`. A process can be stopped: see `in_process`.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from jobkit.plugin.context import Context
from jobkit.plugin.sync_context import SyncContext
from jobkit.runner.contained import Raised, Returned
from jobkit.runner.context_calls import ContextCalls


class _FromThread:
    """Has the event loop do what a thread asks for."""

    def __init__(self, calls: ContextCalls, loop: asyncio.AbstractEventLoop) -> None:
        self._calls = calls
        self._loop = loop

    def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(self._calls.call(name, arguments, named), self._loop).result()


async def in_thread(function: Callable[..., Any], job: Any, ctx: Context, **resources: Any) -> Any:
    """Return what the function returns for the job, or raise what it raises; when cancelled, leave it to itself."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Returned[Any] | Raised] = loop.create_future()
    sync = SyncContext(ctx.job, _FromThread(ContextCalls(ctx), loop), ctx.log)
    variables = contextvars.copy_context()

    def settle(outcome: Returned[Any] | Raised) -> None:
        if not done.done():
            done.set_result(outcome)

    def run() -> None:
        outcome: Returned[Any] | Raised
        try:
            outcome = Returned(variables.run(function, job, sync, **resources))
        except (KeyboardInterrupt, GeneratorExit) as error:
            # On the loop they would mean something else.
            outcome = Raised(RuntimeError(f"the processor raised {type(error).__name__}"))
        except BaseException as error:  # noqa: BLE001  (all that a processor raises is its attempt's)
            outcome = Raised(error)
        # The loop may be closed by now: the worker has ended, and nobody waits for this any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, outcome)

    # A daemon, so that one that never ends keeps no worker from ending.
    threading.Thread(target=run, name=f"jobkit {ctx.job.type} {ctx.job.id}", daemon=True).start()
    outcome = await done
    if isinstance(outcome, Raised):
        raise outcome.error
    return outcome.value
