"""Two coordinators behind one store: workers that do not share their leases, and outbid each other for ever.

Each worker notes in the store by which coordinator it goes. Who starts while others go by another one waits for them
to be gone, and refuses to start where they stay: their setting, or this one, is wrong. A coordinator that was lost and
made anew is another one, too; nobody notes the lost one any more, so work goes on by itself.
"""

from __future__ import annotations

from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.plane import Plane
from jobkit.ports.planes import Planes
from jobkit.telemetry import Telemetry

# Of a coordinator that was not noted for so many lease TTLs no worker is left.
_ALIVE_TTLS = 1.5
_TOLD_EVERY_SECONDS = 60.0


class CoordinatorWatch:
    """Whether all workers on the store go by this worker's coordinator."""

    def __init__(self, planes: Planes, *, ttl: float, every: float, clock: Clock, telemetry: Telemetry) -> None:
        self._planes = planes
        self._within = _ALIVE_TTLS * ttl
        self._every = every
        self._clock = clock
        self._telemetry = telemetry
        self._others_since: float | None = None
        self._told = float("-inf")

    @property
    def alone(self) -> bool:
        """Whether no other coordinator is in use for longer than one that was lost may seem to be."""
        return self._others_since is None or self._clock.now() - self._others_since <= 2 * self._within

    async def require(self) -> None:
        """Wait until no worker goes by another coordinator.

        Raises `ConfigurationError` where some do for longer than workers that are gone could seem to, or `Unavailable`.
        """
        deadline = self._clock.now() + self._within + self._every
        while others := await self._look():
            if self._clock.now() >= deadline:
                raise ConfigurationError(
                    f"workers on this store keep their leases elsewhere (coordinator {', '.join(others)}): the "
                    f"{Plane.COORDINATOR.variable} of this worker or of those names the wrong place, and all must name "
                    "the same; to move to another coordinator stop all workers first"
                )
            await self._clock.sleep(self._every)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self._clock.sleep(self._every)
            try:
                others = await self._look()
            except Unavailable as error:
                self._telemetry.connection_lost(error.plane, "noting the coordinator", error)
                continue
            now = self._clock.now()
            self._others_since = (self._others_since or now) if others else None
            if not self.alone and now - self._told >= _TOLD_EVERY_SECONDS:
                self._told = now
                self._telemetry.coordinators_differ(others)

    async def _look(self) -> list[str]:
        """Note this worker's coordinator and return the others in use. It may have become another one meanwhile."""
        identity = await self._planes.coordinator.identity()
        await self._planes.store.note_coordinator(identity)
        noted = await self._planes.inspection.coordinators(within=self._within)
        return [other for other in noted if other != identity]
