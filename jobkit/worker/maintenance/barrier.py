"""Waiting until all that is in a led partition's queue has come, also where the broker loses what tells so."""

from __future__ import annotations

import anyio

from jobkit.errors import ConfigurationError, ConsumerClosed, Unavailable
from jobkit.model.clock import Clock
from jobkit.runner.led_partition import LedPartition


async def caught_up(led: LedPartition, every: float, clock: Clock) -> frozenset[str]:
    """Wait until all that is in the queue has come; return the ids of the jobs that are in hand then.

    A barrier is lost with the queue that it is in, so there is another each `every` seconds. Raises as
    `LedPartition.caught_up`.
    """
    answers: list[frozenset[str]] = []
    failed: list[ConsumerClosed | Unavailable | ConfigurationError] = []
    async with anyio.create_task_group() as asking:

        async def ask() -> None:
            try:
                answers.append(await led.caught_up())
            except (ConsumerClosed, Unavailable, ConfigurationError) as error:
                failed.append(error)
            asking.cancel_scope.cancel()

        while True:
            asking.start_soon(ask)
            await clock.sleep(every)
    if not answers:
        raise failed[0]
    return answers[0]
