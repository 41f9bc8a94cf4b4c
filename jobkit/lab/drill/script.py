"""What befalls the regions, and when: the incident's own order of events, in minutes instead of hours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

from jobkit.lab.drill.environment import Site, WorkerProcess
from jobkit.model.clock import Clock

# Half a second for a round trip.
_SLOW_SECONDS = 0.25
_FLAP_SECONDS = 2.0


class Phase(StrEnum):
    """The phases of a drill, in their order."""

    NORMAL = "normal"
    SLOW = "slow"
    FLAPPING = "flapping"
    PARTITIONED = "partitioned"
    HEALED = "healed"


@dataclass(frozen=True, slots=True)
class Script:
    """How long each phase takes, in seconds. A partition is longer than any lease, or nothing would happen in it."""

    normal: float
    slow: float
    flapping: float
    partitioned: float
    healed: float

    @property
    def seconds(self) -> float:
        """How long all of it takes."""
        return self.normal + self.slow + self.flapping + self.partitioned + self.healed


def script_for(lease_ttl: float, *, scale: float = 1.0) -> Script:
    """Return the script for leases of so many seconds; `scale` lengthens what does not depend on them."""
    return Script(
        normal=15 * scale,
        slow=max(20 * scale, 1.5 * lease_ttl),
        flapping=12 * scale,
        partitioned=2 * lease_ttl + 60 * scale,
        # Twice what the recovery may take, to see that it lasts.
        healed=20 * scale,
    )


Tell = Callable[[Phase, str], Awaitable[None]]


async def perform(script: Script, site: Site, clock: Clock, tell: Tell) -> None:
    """Have all of it happen; the far region is the one that suffers."""
    await tell(Phase.NORMAL, "both regions work")
    await clock.sleep(script.normal)
    if not site.embedded:
        await tell(Phase.SLOW, "500 ms are added to every round trip of the far region")
        _each(site, lambda proxy: proxy.delay(_SLOW_SECONDS))
    else:
        await tell(Phase.SLOW, "nothing: embedded backends have no network")
    await clock.sleep(script.slow)
    await tell(Phase.FLAPPING, "the far region's links come and go")
    await _flap(script, site, clock)
    await tell(Phase.PARTITIONED, "the far region is cut off from the coordinator; one of its workers is paused")
    async with _partition(site):
        await clock.sleep(script.partitioned)
    await tell(Phase.HEALED, "everything is whole again; the paused worker goes on where it was")
    await clock.sleep(script.healed)


def _each(site: Site, do: Callable[..., None]) -> None:
    for proxy in site.ways("far"):
        do(proxy)


async def _flap(script: Script, site: Site, clock: Clock) -> None:
    ends = clock.now() + script.flapping
    while clock.now() < ends:
        if site.embedded:
            victim = site.of("far")[1]
            victim.stop()
            await clock.sleep(_FLAP_SECONDS / 2)
            victim.resume()
        else:
            _each(site, lambda proxy: proxy.cut())
            _each(site, lambda proxy: proxy.hold())
            await clock.sleep(_FLAP_SECONDS / 2)
            _each(site, lambda proxy: proxy.heal())
            _each(site, lambda proxy: proxy.delay(_SLOW_SECONDS))
        await clock.sleep(_FLAP_SECONDS)


@asynccontextmanager
async def _partition(site: Site) -> AsyncIterator[None]:
    """Cut the far region's coordinator off, so that its leaders are left with what they believe; pause one worker."""
    paused: WorkerProcess = site.of("far")[0]
    for proxy in site.ways("far"):
        proxy.heal()
    for proxy in site.ways("far", "coordinator"):
        proxy.hold()
    paused.stop()
    try:
        yield
    finally:
        _each(site, lambda proxy: proxy.heal())
        paused.resume()
