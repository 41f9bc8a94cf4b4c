"""How the trouble of a script is made: on the links of the far region, and on its processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from jobkit.lab.drill.environment import Site
from jobkit.lab.drill.pausing import pause
from jobkit.lab.drill.script import Phase, Script, Step
from jobkit.lab.servers.proxy import Proxy
from jobkit.model.clock import Clock
from jobkit.ports.coordinator import Coordinator

# Half a second for a round trip.
_SLOW_SECONDS = 0.25
_FLAP_SECONDS = 2.0
_AWAY_SECONDS = 1.0

Tell = Callable[[Phase, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scene:
    """Where trouble is made, and what it needs: the coordinator by a way on which no trouble lies."""

    site: Site
    coordinator: Coordinator
    clock: Clock

    def links(self, do: Callable[[Proxy], object], *planes: str) -> None:
        """Do something to the far region's links to these planes, to all of them by default."""
        for proxy in self.site.ways("far", *planes):
            do(proxy)


async def perform(script: Script, scene: Scene, tell: Tell) -> None:
    """Have all of it happen; the far region is the one that suffers."""
    for step in script.steps:
        await tell(step.phase, step.told)
        await _PHASES[step.phase](scene, step)


async def _quiet(scene: Scene, step: Step) -> None:
    await scene.clock.sleep(step.seconds)


async def _slow(scene: Scene, step: Step) -> None:
    scene.links(_delay)
    await scene.clock.sleep(step.seconds)


async def _flap(scene: Scene, step: Step) -> None:
    ends = scene.clock.now() + step.seconds
    while scene.clock.now() < ends:
        scene.links(Proxy.cut)
        scene.links(Proxy.hold)
        await scene.clock.sleep(_AWAY_SECONDS)
        scene.links(Proxy.heal)
        scene.links(_delay)
        await scene.clock.sleep(_FLAP_SECONDS)


async def _partition(scene: Scene, step: Step) -> None:
    """Cut the far region's coordinator off, so that its leaders are left with what they believe; pause one worker."""
    scene.links(Proxy.heal)
    scene.links(Proxy.hold, "coordinator")
    async with _paused(scene, 0):
        await scene.clock.sleep(step.seconds)
    scene.links(Proxy.heal)


async def _stall(scene: Scene, step: Step) -> None:
    ends = scene.clock.now() + step.seconds
    while scene.clock.now() < ends:
        async with _paused(scene, 1):
            await scene.clock.sleep(_AWAY_SECONDS)
        await scene.clock.sleep(_FLAP_SECONDS)


async def _pause(scene: Scene, step: Step) -> None:
    async with _paused(scene, 0):
        await scene.clock.sleep(step.seconds)


def _delay(proxy: Proxy) -> None:
    proxy.delay(_SLOW_SECONDS)


@asynccontextmanager
async def _paused(scene: Scene, number: int) -> AsyncIterator[None]:
    """Have one of the far region's workers paused in the block."""
    victim = scene.site.of("far")[number]
    await pause(victim, scene.coordinator if scene.site.embedded else None, scene.clock)
    try:
        yield
    finally:
        victim.resume()


_PHASES: Mapping[Phase, Callable[[Scene, Step], Awaitable[None]]] = {
    Phase.NORMAL: _quiet,
    Phase.SLOW: _slow,
    Phase.FLAPPING: _flap,
    Phase.PARTITIONED: _partition,
    Phase.STALLING: _stall,
    Phase.PAUSED: _pause,
    Phase.HEALED: _quiet,
}
