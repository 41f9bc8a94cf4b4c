"""The queues' metrics as the whole business of a process, which runs no job: a page for Prometheus."""

from __future__ import annotations

import signal
from collections.abc import Sequence

import anyio

from jobkit.model.clock import Clock
from jobkit.model.ids import new_owner
from jobkit.ports.planes import Planes
from jobkit.settings import Settings
from jobkit.telemetry import Telemetry
from jobkit.telemetry.exporting import MetricsPage, exporting
from jobkit.worker.health import serving_health
from jobkit.worker.queue_gauges import QueueGauges


async def export(planes: Planes, types: Sequence[str], settings: Settings, port: int, clock: Clock) -> None:
    """Serve the metrics of the queues of `types`, or of all there are, until a signal ends it.

    It is ready while what it shows is current. Raises `ConfigurationError` where the port is taken.
    """
    page = MetricsPage()
    with exporting(instance=new_owner(), page=page):
        telemetry = Telemetry()
        queues = QueueGauges(planes, types, clock=clock, telemetry=telemetry)

        def live() -> dict[str, bool]:
            return {"loop_turns": True}

        def ready() -> dict[str, bool]:
            return {"queues_measured": queues.current}

        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with (
                serving_health(settings.health_host, port, live, ready, telemetry, page),
                anyio.create_task_group() as measuring,
            ):
                measuring.start_soon(queues.run)
                async for _ in signals:
                    measuring.cancel_scope.cancel()
                    break
