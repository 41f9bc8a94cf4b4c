"""The doctor's walk: the machine, the plugins, each place that the settings name, and each plane at work.

It raises nothing: what goes wrong is a finding.
"""

from __future__ import annotations

from collections.abc import Callable

from jobkit.errors import ConfigurationError
from jobkit.model.clock import Clock
from jobkit.ops.diagnosis.machine import check_clock, check_versions
from jobkit.ops.diagnosis.places import diagnose_places
from jobkit.ops.diagnosis.plane_probes import probe_planes
from jobkit.ops.diagnosis.plugins import check_plugins
from jobkit.ops.diagnosis.together import check_together
from jobkit.plugin.registry import Registry
from jobkit.ports.diagnosis import Finding
from jobkit.settings import Settings


async def diagnose(settings: Settings, clock: Clock, load: Callable[[], Registry]) -> list[Finding]:
    """Return what there is to say of all that a worker with these settings needs; `load` loads its plugins."""
    findings = [check_versions(), check_clock(clock), *await check_plugins(load)]
    findings += check_together(settings)
    places = await diagnose_places(settings, clock)
    findings += [finding for place in places for finding in place.summary()]
    in_trouble = frozenset(plane for place in places if place.in_trouble for plane in place.planes)
    absent = frozenset(plane for place in places if place.absent for plane in place.planes)
    return findings + await probe_planes(settings, clock, in_trouble, absent, _loaded(load))


def _loaded(load: Callable[[], Registry]) -> Registry | None:
    try:
        return load()
    except ConfigurationError:
        # Told already, of the plugins.
        return None
