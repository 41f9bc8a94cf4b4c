"""What `jobkit doctor` looks at besides doing something with each plane, one function for each part.

A check changes nothing that anybody would notice. It does not raise: what goes wrong is its finding.
"""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace

from jobkit.distribution import installed_version
from jobkit.errors import ConfigurationError, JobkitError, Unavailable
from jobkit.model.clock import Clock
from jobkit.ops.diagnosis.backends import BackendDiagnosis
from jobkit.ops.diagnosis.finding import Finding, Status, failed
from jobkit.plugin.registry import Registry
from jobkit.ports.diagnosis import Severity

# The wall clock decides nothing, but dates in records and logs are to be believed.
_EARLIEST_SANE_WALL = 1_735_689_600.0  # 2025-01-01

_STATUSES = {Severity.FINE: Status.OK, Severity.RISK: Status.WARN, Severity.BROKEN: Status.FAIL}


def check_versions() -> list[Finding]:
    """Say what runs here."""
    versions = f"jobkit {installed_version()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return [Finding("versions", Status.OK, versions)]


async def check_plugins(load: Callable[[], Registry]) -> list[Finding]:
    """Load every plugin, validate its settings and ask its own check about this machine."""
    part = "plugins"
    try:
        registry = load()
    except ConfigurationError as error:
        return [failed(part, error)]
    # Installed together with what is used, perhaps, and never needed: no failure.
    findings = [Finding(part, Status.WARN, reason) for _, reason in sorted(registry.broken.items())]
    if not registry.processors:
        none = "no job types are installed, and JOBKIT_PLUGINS names none"
        make = "install a plugin, name its module, or make one: jobkit new-plugin"
        return [*findings, Finding(part, Status.WARN, none, make)]
    findings.append(Finding(part, Status.OK, f"job types: {', '.join(sorted(registry.processors))}"))
    for type in sorted(registry.processors):
        try:
            registry.settings([type])
            findings += [Finding(part, Status.FAIL, problem) for problem in await registry.problems([type])]
        except Exception as error:  # noqa: BLE001  (somebody else's code: whatever it raises is what is wrong with it)
            what = str(error) if isinstance(error, JobkitError) else f"its check failed: {error!r}"
            findings.append(Finding(part, Status.FAIL, what if type in what else f"{type}: {what}"))
    return findings


def check_clock(clock: Clock) -> list[Finding]:
    """See that the wall clock can be believed, and that the other one goes forward."""
    part = "clock"
    first, second = clock.now(), clock.now()
    if second < first:
        backwards = "the machine's monotonic clock went backwards"
        return [Finding(part, Status.FAIL, backwards, "repair or replace the machine")]
    if clock.wall() < _EARLIEST_SANE_WALL:
        return [
            Finding(part, Status.WARN, "the wall clock is set to before 2025", "set it; dates in records are wrong")
        ]
    return [Finding(part, Status.OK, "the wall clock is plausible, and the monotonic one goes forward")]


def backend_findings(examinations: Sequence[BackendDiagnosis]) -> list[Finding]:
    """Return what came of looking at the backends."""
    return [finding for examination in examinations for finding in _told(examination)]


def suspect_planes(examinations: Sequence[BackendDiagnosis]) -> frozenset[str]:
    """Return the planes whose backend is known to be in trouble, so that the same need not be said of them again."""
    return frozenset(
        plane
        for examination in examinations
        if examination.error or any(finding.severity is Severity.BROKEN for finding in examination.findings)
        for plane in examination.planes
    )


def _told(examination: BackendDiagnosis) -> list[Finding]:
    """Return an examination as lines: all that is fine in one, and one for each thing that is not."""
    part, planes = examination.kind, ", ".join(examination.planes)
    if examination.error is not None:
        variables = " and ".join(f"JOBKIT_{plane.upper()}_URL" for plane in examination.planes)
        away = isinstance(examination.error, Unavailable)
        change = f"see that it runs, and that {variables} names it" if away else f"see {variables}"
        told = failed(part, examination.error)
        return [replace(told, what=f"{planes}: {told.what}", change=change)]
    fine = ", ".join(finding.what for finding in examination.findings if finding.severity is Severity.FINE)
    return [
        *([Finding(part, Status.OK, f"{planes}: {fine}")] if fine else []),
        *(
            Finding(part, _STATUSES[finding.severity], f"{planes}: {finding.what}", finding.change)
            for finding in examination.findings
            if finding.severity is not Severity.FINE
        ),
    ]
