"""How the trouble of a script is made: on the links of the far region, and on its processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import anyio

from jobkit.lab.drill.environment import Site
from jobkit.lab.drill.fence_trial import FenceTrial
from jobkit.lab.drill.loss import Loss, lose
from jobkit.lab.drill.pausing import pause
from jobkit.lab.drill.script import Phase, Script, Step
from jobkit.lab.servers.proxy import Proxy
from jobkit.model.clock import Clock
from jobkit.ports.coordinator import Coordinator

# Half a second for a round trip.
_SLOW_SECONDS = 0.25
# Long enough for a worker to connect anew, at such round trips, and to renew what it holds: else its jobs are lost to
# others before the fence is tried.
_FLAP_SECONDS = 3.0
_AWAY_SECONDS = 1.0

Tell = Callable[[Phase, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scene:
    """Where trouble is made, and what it needs: the coordinator by a way on which no trouble lies."""

    site: Site
    coordinator: Coordinator
    clock: Clock
    trial: FenceTrial
    lose: Loss | None = None

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
    """Cut the far region's coordinator off, so that its workers are left with what they believe, and try the fence."""
    ends = scene.clock.now() + step.seconds
    first, second = scene.site.of("far")
    scene.links(Proxy.heal)
    scene.links(Proxy.hold, "coordinator")
    try:
        async with anyio.create_task_group() as trials:
            trials.start_soon(scene.trial.paused, first)
            trials.start_soon(scene.trial.on_the_wire, second)
        await scene.clock.sleep(max(0.0, ends - scene.clock.now()))
    finally:
        scene.links(Proxy.heal)
        await scene.trial.resumed(first)


async def _stall(scene: Scene, step: Step) -> None:
    ends = scene.clock.now() + step.seconds
    while scene.clock.now() < ends:
        victim = scene.site.of("far")[1]
        await pause(victim, scene.coordinator, scene.clock)
        await scene.clock.sleep(_AWAY_SECONDS)
        victim.resume()
        await scene.clock.sleep(_FLAP_SECONDS)


async def _pause(scene: Scene, step: Step) -> None:
    victim = scene.site.of("far")[0]
    try:
        await scene.trial.paused(victim)
        await scene.clock.sleep(step.seconds)
    finally:
        await scene.trial.resumed(victim)


async def _lose(scene: Scene, step: Step) -> None:
    assert scene.lose is not None  # noqa: S101  (the script has this phase only where something is to be lost)
    await lose(scene.lose, scene.site, scene.clock, step.seconds)


def _delay(proxy: Proxy) -> None:
    proxy.delay(_SLOW_SECONDS)


_PHASES: Mapping[Phase, Callable[[Scene, Step], Awaitable[None]]] = {
    Phase.NORMAL: _quiet,
    Phase.SLOW: _slow,
    Phase.FLAPPING: _flap,
    Phase.PARTITIONED: _partition,
    Phase.STALLING: _stall,
    Phase.PAUSED: _pause,
    Phase.LOST: _lose,
    Phase.HEALED: _quiet,
}
