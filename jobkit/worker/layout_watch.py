"""Following the numbers of partitions that are in force."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from jobkit.client.layouts import FRESH_SECONDS, Layouts
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.layout import Layout
from jobkit.model.plane import Plane
from jobkit.telemetry import Telemetry


async def follow(
    layouts: Layouts,
    on_change: Callable[[str, Layout], Awaitable[None]],
    *,
    clock: Clock,
    telemetry: Telemetry,
) -> None:
    """Read the layouts again and again, and tell of each whose queues are other ones, until cancelled.

    What `on_change` cannot do it is asked for again at the next look.
    """
    seen = dict(layouts.known)
    while True:
        await clock.sleep(FRESH_SECONDS)
        try:
            await layouts.refresh()
            for type, layout in layouts.known.items():
                before = seen.get(type, layout)
                if (before.version, before.led, before.made) != (layout.version, layout.led, layout.made):
                    if layout.version != before.version and layout.moving:
                        telemetry.partitions_change(type, layout.partitions)
                    await on_change(type, layout)
                seen[type] = layout
        except (Unavailable, ConfigurationError) as error:
            plane = error.plane if isinstance(error, Unavailable) else Plane.BROKER
            telemetry.connection_lost(plane, "following the numbers of partitions", error)
