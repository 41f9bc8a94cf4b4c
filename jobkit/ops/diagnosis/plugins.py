"""What the doctor asks of the plugins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from jobkit.errors import ConfigurationError, JobkitError
from jobkit.plugin.registry import Registry
from jobkit.ports.diagnosis import Finding, Status, failure


async def check_plugins(load: Callable[[], Registry]) -> list[Finding]:
    """Load every plugin, validate its settings and ask its own check about this machine."""
    return [replace(finding, part="plugins") for finding in await _found(load)]


async def _found(load: Callable[[], Registry]) -> list[Finding]:
    try:
        registry = load()
    except ConfigurationError as error:
        return [failure(error)]
    # Installed together with what is used, perhaps, and never needed: no failure.
    findings = [Finding(Status.WARN, reason) for _, reason in sorted(registry.broken.items())]
    types = sorted(registry.processors)
    if not types:
        none = "no job types are installed, and JOBKIT_PLUGINS names none"
        make = "install a plugin, name its module, or make one: jobkit new-plugin"
        return [*findings, Finding(Status.WARN, none, make)]
    findings.append(Finding(Status.OK, f"job types: {', '.join(types)}"))
    unconfigured = await _unconfigured(registry)
    for reason in unconfigured.values():
        left_out = f"{reason}; a worker leaves it out, for none of its variables is set"
        findings.append(Finding(Status.WARN, left_out, "set them, where this type is wanted"))
    for type in types:
        if type not in unconfigured:
            findings += await _check_type(registry, type)
    return findings


async def _unconfigured(registry: Registry) -> Mapping[str, str]:
    try:
        return await registry.unconfigured()
    except Exception:  # noqa: BLE001  (somebody else's code, which each type's own check tells of)
        return {}


async def _check_type(registry: Registry, type: str) -> list[Finding]:
    try:
        registry.settings([type])
        problems = [Finding(Status.FAIL, problem) for problem in await registry.problems([type])]
        return problems or [Finding(Status.OK, able) for able in await registry.described(type)]
    except Exception as error:  # noqa: BLE001  (somebody else's code: whatever it raises is what is wrong with it)
        what = str(error) if isinstance(error, JobkitError) else f"its check failed: {error!r}"
        return [Finding(Status.FAIL, what if type in what else f"{type}: {what}")]
