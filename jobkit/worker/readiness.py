"""When a worker is live, and when it is ready: the checks that health endpoints answer with, by name."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.leases import Keeper
from jobkit.runner.led_partition import LedPartition
from jobkit.worker.backend_refusals import Refusals
from jobkit.worker.coordinator_watch import CoordinatorWatch
from jobkit.worker.resource_health import ResourceHealth
from jobkit.worker.watchdog import Watchdog


def liveness(watchdog: Watchdog | None) -> dict[str, bool]:
    """Return the checks of which one that fails means that the process should be restarted."""
    return {"loop_turns": watchdog is None or watchdog.turning}


def readiness(
    *,
    draining: bool,
    keeper: Keeper,
    coordination: CoordinatorWatch,
    refusals: Refusals,
    led: Sequence[LedPartition],
    resources: ResourceHealth,
) -> dict[str, bool]:
    """Return the checks of which one that fails means that the process does not work at full strength."""
    leading = [one for one in led if not one.draining and not one.released.is_set()]
    return {
        "not_draining": not draining,
        "coordinator_answers": keeper.healthy,
        "one_coordinator": coordination.alone,
        "no_backend_refuses": not refusals.any,
        "consumers_open": all(one.consuming or one.paused for one in leading),
        **resources.checks,
    }
