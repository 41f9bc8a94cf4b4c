"""What the lanes of a worker work with, put together from its settings and its plugins."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from pydantic_settings import BaseSettings

from jobkit.client.layouts import Layouts
from jobkit.client.outbox_sweeper import Sweeper
from jobkit.leases import Keeper
from jobkit.model.clock import Clock
from jobkit.plugin.registry import Registry
from jobkit.ports.planes import Planes
from jobkit.runner.attempt import Attempts
from jobkit.runner.cancellations import Cancellations
from jobkit.runner.gap_hold import GapBounds
from jobkit.runner.invocation import calls_of
from jobkit.runner.lane import LaneTools
from jobkit.runner.led_partition import PartitionTerms
from jobkit.runner.outcome_hooks import OutcomeHooks
from jobkit.runner.pauses import Pauses
from jobkit.runner.pipeline import Pipeline
from jobkit.runner.resources import OpenResources
from jobkit.runner.type_slots import TypeSlots
from jobkit.runner.unknown_jobs import HeldJobs
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


def partition_terms(settings: Settings, keeper: Keeper, hand_over_grace: Callable[[], float]) -> PartitionTerms:
    """Return the terms on which a partition is led."""
    return PartitionTerms(
        prefetch=settings.prefetch,
        max_payload=settings.max_payload_bytes,
        delivery_hold=settings.delivery_hold,
        adopt_every=keeper.terms.renew_every,
        hand_over_grace=hand_over_grace,
    )


def held_jobs(
    planes: Planes,
    registry: Registry,
    types: Sequence[str],
    settings: Settings,
    tools: LaneTools,
    *,
    keeper: Keeper,
    pauses: Pauses,
    layouts: Layouts,
) -> Sequence[HeldJobs]:
    """Return what looks after the held jobs of each of these types."""

    def rests(type: str, key: str) -> bool:
        return pauses.rests(layouts.of(type).partition(type, key), key)

    return [
        HeldJobs(
            type,
            planes,
            keeper,
            registry,
            tools,
            hold=settings.unknown_hold,
            every=keeper.terms.renew_every,
            prefetch=settings.prefetch,
            max_payload=settings.max_payload_bytes,
            rests=partial(rests, type),
        )
        for type in types
    ]
