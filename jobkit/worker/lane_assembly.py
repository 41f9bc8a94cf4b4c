"""What the lanes of a worker work with, put together from its settings and its plugins."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from pydantic_settings import BaseSettings

from jobkit.client.sweeper import Sweeper
from jobkit.leases import Keeper
from jobkit.model.clock import Clock
from jobkit.plugin.registry import Registry
from jobkit.ports.planes import Planes
from jobkit.runner.attempt import Attempts
from jobkit.runner.cancellations import Cancellations
from jobkit.runner.invocation import calls_of
from jobkit.runner.lane import GapBounds, LaneTools
from jobkit.runner.outcome_hooks import OutcomeHooks
from jobkit.runner.pipeline import Pipeline
from jobkit.runner.resources import OpenResources
from jobkit.runner.type_slots import TypeSlots
from jobkit.settings import Settings
from jobkit.telemetry import Telemetry


def lane_tools(
    planes: Planes,
    registry: Registry,
    types: Sequence[str],
    settings: Settings,
    plugin_settings: Mapping[type[BaseSettings], BaseSettings],
    opened: OpenResources,
    *,
    keeper: Keeper,
    sweeper: Sweeper,
    cancellations: Cancellations,
    clock: Clock,
    rng: random.Random,
    telemetry: Telemetry,
) -> LaneTools:
    """Return the pipeline, and what else a lane needs, for jobs of these types."""
    served = [one for type in types for one in registry.members(type)]
    pipeline = Pipeline(
        planes,
        keeper,
        Attempts(
            planes,
            clock,
            telemetry,
            plugin_settings,
            registry,
            calls=calls_of(served, opened, registry.around.attempts),
        ),
        sweeper,
        TypeSlots(settings.concurrency, clock),
        cancellations,
        claim_wait=settings.claim_wait,
        max_opens=settings.max_opens,
        retention=settings.retention_seconds,
        clock=clock,
        rng=rng,
        telemetry=telemetry,
        hooks=OutcomeHooks(registry.around.hooks, telemetry),
    )
    return LaneTools(pipeline, GapBounds(settings.gap_hold, settings.gap_limit), clock, rng, telemetry)
