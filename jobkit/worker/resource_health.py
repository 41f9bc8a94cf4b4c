"""Whether the resources that a worker opened still work: asked now and then, of those that can tell."""

from __future__ import annotations

import anyio

from jobkit.model.clock import Clock
from jobkit.plugin.resource import Resource
from jobkit.runner.resources import OpenResources
from jobkit.telemetry import Telemetry
from jobkit.telemetry import metrics as m

# So often each is asked, one after another, and so long each may take.
_EVERY_SECONDS = 5.0
_ANSWER_SECONDS = 5.0


class ResourceHealth:
    """What was found last of each resource that has a `health`."""

    def __init__(self, clock: Clock, telemetry: Telemetry) -> None:
        self._clock = clock
        self._telemetry = telemetry
        self._well: dict[str, bool] = {}

    @property
    def checks(self) -> dict[str, bool]:
        """Return a check for `/ready` by resource, such as `resource_pool`."""
        return {f"resource_{name}": well for name, well in self._well.items()}

    async def run(self, opened: OpenResources) -> None:
        """Ask again and again, until cancelled; where none can tell, return at once."""
        asked = [one for one in opened if one.health is not None]
        try:
            while asked:
                for resource in asked:
                    await self._ask(resource, opened[resource])
                readings: m.Readings = {(m.RESOURCE_HEALTHY, (name,)): float(well) for name, well in self._well.items()}
                self._telemetry.gauges.show(self, readings)
                await self._clock.sleep(_EVERY_SECONDS)
        finally:
            self._telemetry.gauges.hide(self)

    async def _ask(self, resource: Resource, value: object) -> None:
        assert resource.health is not None  # noqa: S101  (only those are asked)
        before = self._well.get(resource.name, True)
        try:
            with anyio.fail_after(_ANSWER_SECONDS):
                await resource.health(value)
        except Exception as error:  # noqa: BLE001  (whatever a health check raises is what is wrong)
            self._well[resource.name] = False
            if before:
                self._telemetry.resource_unhealthy(resource.name, error)
        else:
            self._well[resource.name] = True
            if not before:
                self._telemetry.resource_recovered(resource.name)
