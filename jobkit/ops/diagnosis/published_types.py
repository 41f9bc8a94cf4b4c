"""Job types that are loaded here and do not fit what their workers have published."""

from __future__ import annotations

from jobkit.errors import TypeUnreadable
from jobkit.plugin.registry import Registry
from jobkit.plugin.type_changes import incompatible
from jobkit.plugin.type_definition import definition_in
from jobkit.ports.diagnosis import Finding, Status
from jobkit.ports.types import Types


async def published_types(types: Types, registry: Registry) -> list[Finding]:
    """Return a finding for each type that takes less here than programs may submit, as it is published."""
    findings = []
    for kept in await types.types(sorted(registry.processors)):
        processor = registry.processors[kept.name]
        try:
            changes = incompatible(processor, definition_in(kept))
        except TypeUnreadable as error:
            findings.append(Finding(Status.WARN, str(error), "upgrade, or start a worker of this version"))
            continue
        if changes:
            what = f"job type {kept.name} does not fit what is published of it: {'; '.join(changes)}"
            change = f"raise its version and add an upcaster from the one before, or give back what {kept.name} took"
            findings.append(Finding(Status.WARN, what, change))
    return findings
