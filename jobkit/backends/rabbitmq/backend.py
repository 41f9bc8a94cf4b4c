"""RabbitMQ as a backend: queues, and a topology to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobkit.model.clock import Clock
from jobkit.model.plane import Plane
from jobkit.ports.backend import Backend, Opening, Place
from jobkit.ports.broker import Broker
from jobkit.ports.diagnosis import Finding
from jobkit.ports.topology import TopologyAdmin, TopologyPart

if TYPE_CHECKING:
    from jobkit.backends.rabbitmq.broker import RabbitBroker


class _Topology:
    """The broker as `TopologyAdmin`."""

    def __init__(self, broker: RabbitBroker) -> None:
        self._broker = broker

    async def look(self, type: str, partitions: int, *, bands: bool) -> Sequence[TopologyPart]:
        return await self._broker.look(type, partitions, bands=bands)

    async def complete(self, type: str, partitions: int, *, bands: bool) -> None:
        await self._broker.declare(type, partitions)
        if bands:
            await self._broker.make_bands(type, partitions)
        await self._broker.enlist(type, partitions)

    async def aclose(self) -> None:
        await self._broker.aclose()


async def _open_broker(url: str, opening: Opening) -> Broker:
    from jobkit.backends.rabbitmq.broker import RabbitBroker

    return RabbitBroker(url, opening.clock)


def _topology(url: str, clock: Clock) -> TopologyAdmin:
    from jobkit.backends.rabbitmq.broker import RabbitBroker

    return _Topology(RabbitBroker(url, clock))


async def _diagnose(place: Place) -> list[Finding]:
    from jobkit.backends.rabbitmq.diagnosis import diagnose

    settings = place.settings
    return await diagnose(
        place.url,
        place.clock,
        delivery_hold=settings.delivery_hold,
        lease_ttl=settings.lease_ttl,
        max_payload=settings.max_payload_bytes,
    )


BACKEND = Backend(
    name="rabbitmq",
    schemes={Plane.BROKER: ("amqp", "amqps")},
    extra="rabbitmq",
    open_broker=_open_broker,
    topology=_topology,
    diagnose=_diagnose,
)
