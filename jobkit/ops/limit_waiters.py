"""Which jobs wait for a limit, as far as workers have told."""

from __future__ import annotations

from collections.abc import Mapping

from jobkit.errors import Unavailable
from jobkit.ports.coordinator import Coordinator


async def waits_for(coordinator: Coordinator) -> Mapping[str, str]:
    """Return the limit's bucket by the job's id. A coordinator that is out of reach knows of none."""
    try:
        found = await coordinator.waiting()
    except Unavailable:
        # What was asked is how jobs stand, and the store knows that.
        return {}
    return {id: one.bucket for one in found for id in one.ids}
