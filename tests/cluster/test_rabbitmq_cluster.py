"""A cluster of three nodes, one of which dies while the queues that it led can have no other leader yet."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from jobkit.backends.rabbitmq.broker import RabbitBroker
from jobkit.errors import Unavailable
from jobkit.lab.servers.rabbitmq_cluster import RabbitCluster
from jobkit.model.clock import SystemClock
from jobkit.model.envelope import Envelope
from jobkit.model.partition import Partition
from jobkit.ports.broker import Answer, Broker, Published

_PARTITIONS = [Partition("t", number) for number in range(2)]
_PATIENCE_SECONDS = 60.0
# For each call while no queue has a leader. A refusal takes a second and a half, with all that is tried again.
_CONFIRM_SECONDS = 5.0


@pytest.fixture
async def cluster() -> AsyncIterator[RabbitCluster]:
    directory = Path(tempfile.mkdtemp(prefix="jobkit-cluster-"))
    nodes = RabbitCluster(directory)
    try:
        await asyncio.to_thread(nodes.start)
        yield nodes
    finally:
        for node in nodes.nodes:
            node.resume()
        await asyncio.to_thread(nodes.end)
        shutil.rmtree(directory, ignore_errors=True)


def _message(id: str, partition: Partition) -> tuple[Partition, Envelope]:
    return partition, Envelope(f"{id} {partition}", "t", b"{}", "k")


async def _tried(broker: Broker, id: str) -> list[Answer | None]:
    """Publish a message into each partition; None where the broker was out of reach."""
    answers: list[Answer | None] = []
    for partition in _PARTITIONS:
        try:
            answers += await broker.publish([_message(id, partition)], timeout=_CONFIRM_SECONDS)
        except Unavailable:
            answers.append(None)
    return answers


async def _published(broker: Broker, id: str) -> None:
    """Publish a message into each partition, again and again until all are in."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            if all(isinstance(answer, Published) for answer in await _tried(broker, id)):
                return
            await asyncio.sleep(0.1)


async def _waiting(broker: Broker) -> dict[Partition, set[str]]:
    """Return the ids of what is in each partition."""
    found: dict[Partition, set[str]] = {}
    for partition in _PARTITIONS:
        found[partition] = set()
        async with broker.consume(partition, "me") as consumer:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while f"last {partition}" not in found[partition]:
                    for delivery in await consumer.receive(10):
                        assert delivery.envelope
                        found[partition].add(delivery.envelope.id)
    return found


async def test_who_was_refused_before_there_were_new_leaders_publishes_as_soon_as_there_are(
    cluster: RabbitCluster,
) -> None:
    """nothing-lost: a refusal costs a channel, not what the outage lasts."""
    leader, here, third = cluster.nodes
    assert cluster.running == len(cluster.nodes)
    async with AsyncExitStack() as stack:

        def broker(node_url: str) -> RabbitBroker:
            opened = RabbitBroker(node_url, SystemClock())
            stack.push_async_callback(opened.aclose)
            return opened

        # A queue's first leader is the node that it is made on.
        await broker(leader.url()).declare("t", len(_PARTITIONS))
        connected, everywhere = broker(here.url()), broker(cluster.url())
        await _published(connected, "first")
        # Two of three must agree on a leader, and one of those that are left says nothing.
        third.pause()
        await asyncio.to_thread(leader.kill)
        late = broker(here.url())
        for number, one in enumerate((connected, late)):
            assert not any(isinstance(answer, Published) for answer in await _tried(one, f"refused {number}"))
        third.resume()
        # The dead node stays dead.
        await asyncio.gather(*(_published(one, f"then {number}") for number, one in enumerate((connected, late))))
        await _published(everywhere, "last")
        found = await _waiting(late)
        for partition in _PARTITIONS:
            assert found[partition] >= {f"{id} {partition}" for id in ("first", "then 0", "then 1", "last")}
