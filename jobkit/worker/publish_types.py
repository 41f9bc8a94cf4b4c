"""Publishing what a worker's job types take and return, as it starts."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.errors import TypeUnreadable
from jobkit.plugin.registry import Registry
from jobkit.plugin.type_changes import incompatible
from jobkit.plugin.type_definition import TypeDefinition, definition_in, definition_of, published
from jobkit.ports.types import Types
from jobkit.telemetry import Telemetry


async def publish_types(types: Types, registry: Registry, served: Sequence[str], telemetry: Telemetry) -> None:
    """Have the store keep the types that are `served`, for programs without their code.

    The latest worker has its word, but not over one of a later version. Raises `Unavailable`.
    """
    processors = [processor for type in served for processor in registry.members(type)]
    before = await _published(types, [processor.name for processor in processors])
    saved = []
    for processor in processors:
        known = before.get(processor.name)
        if known is not None and (changes := incompatible(processor, known)):
            telemetry.log.warning(
                "job type does not fit what is published of it: jobs may be held or dead-lettered",
                type=processor.name,
                changes=changes,
            )
        if known is None or known.version <= processor.version:
            saved.append(published(definition_of(processor)))
    await types.save_types(saved)


async def _published(types: Types, names: Sequence[str]) -> dict[str, TypeDefinition]:
    found = {}
    for kept in await types.types(names):
        try:
            found[kept.name] = definition_in(kept)
        except TypeUnreadable:
            # Another version's, to be replaced.
            continue
    return found
