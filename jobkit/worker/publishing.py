"""Publishing what a worker's job types take and return, as it starts."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.plugin.registry import Registry
from jobkit.plugin.type_definition import definition_of, published
from jobkit.ports.types import Types


async def publish_types(types: Types, registry: Registry, served: Sequence[str]) -> None:
    """Have the store keep the types that are `served`, for programs without their code; the latest worker has its word.

    Raises `Unavailable`.
    """
    definitions = [definition_of(processor) for type in served for processor in registry.members(type)]
    await types.save_types([published(definition) for definition in definitions])
