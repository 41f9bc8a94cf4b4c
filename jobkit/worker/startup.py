"""What a worker finds out as it starts, because it would otherwise fail every job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic_settings import BaseSettings

from jobkit.client.layouts import Layouts
from jobkit.errors import ConfigurationError
from jobkit.plugin.registry import Registry
from jobkit.plugin.resource import Resource
from jobkit.ports.broker import Broker
from jobkit.settings import Settings
from jobkit.telemetry import Telemetry


async def prepare(
    broker: Broker,
    registry: Registry,
    types: Sequence[str],
    settings: Settings,
    layouts: Layouts,
    *,
    given: Mapping[Resource, object],
    telemetry: Telemetry,
) -> Mapping[type[BaseSettings], BaseSettings]:
    """Declare the types to the broker; return the settings of their plugins.

    Raises `ConfigurationError` where a setting, a plugin or the number of partitions is wrong, or `Unavailable`.
    """
    for type in types:
        registry.kept_as(type)
    plugin_settings = registry.settings(types, given)
    if problems := await registry.problems(types):
        raise ConfigurationError("\n".join(problems))
    for type in settings.concurrency.of_type.keys() - set(types):
        telemetry.log.warning("JOBKIT_CONCURRENCY limits a job type that is not served here", type=type)
    await layouts.refresh(types)
    for type in types:
        await broker.declare(type, layouts.of(type).led)
    if settings.max_payload_bytes > broker.max_body_bytes:
        raise ConfigurationError(
            f"JOBKIT_MAX_PAYLOAD_BYTES={settings.max_payload_bytes} is more than the broker takes: set it to "
            f"{broker.max_body_bytes} at most"
        )
    return plugin_settings
