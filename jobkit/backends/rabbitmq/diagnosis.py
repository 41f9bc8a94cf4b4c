"""What must be so of a server for jobkit to rely on it, and what is: version, permissions, alarms, queues.

It does not see everything: a server tells its clients neither its consumer timeout nor its policies. It sees what those
have done, in the queues of the job types there are. What it makes to find out is gone with its connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import aio_pika
from aio_pika.exceptions import ChannelClosed
from aiormq.exceptions import ChannelAccessRefused

from jobkit.backends.rabbitmq.address import Server
from jobkit.backends.rabbitmq.connection import OLDEST_VERSION, Blocked, Link
from jobkit.backends.rabbitmq.faults import refused
from jobkit.backends.rabbitmq.messages import Message, addressed
from jobkit.backends.rabbitmq.publisher import Answer, Publisher
from jobkit.backends.rabbitmq.sick_queues import silent_queues
from jobkit.backends.rabbitmq.topology import Topology, dead_letter_queue, topology_of
from jobkit.backends.rabbitmq.topology_check import look
from jobkit.backends.rabbitmq.type_registry import Directory
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.side_by_side import side_by_side
from jobkit.ports.diagnosis import Finding, Status
from jobkit.ports.topology import PartState, TopologyPart

# RabbitMQ's own, where its operator says nothing else.
_CONSUMER_TIMEOUT_SECONDS = 1800.0
# The server looks once a minute, and a worker moves a job some time after its hold is over.
_TIMEOUT_MARGIN_SECONDS = 120.0


async def diagnose(
    url: str, clock: Clock, *, delivery_hold: float, lease_ttl: float, max_payload: int
) -> list[Finding]:
    """Return what there is to say of the server at `url`, for workers with these settings, in seconds and bytes.

    Raises `ConfigurationError` or `Unavailable`.
    """
    server = Server.parse(url)
    link = Link(server, "examine", clock)
    # Another connection, as in a broker: the server stops reading from one that publishes when it is short of memory.
    publishing = Link(server, "examine by publishing", clock)
    publisher = Publisher(publishing, clock)
    # What a sick queue is asked may cost the connection.
    asking = Link(server, "examine queues", clock)
    try:
        connected = await link.connect()
        findings = [
            _version(connected.connection.server_properties),
            _heartbeat(server.heartbeat, lease_ttl),
            _consumer_timeout(delivery_hold),
        ]
        probed = await _probe(link, publisher, max_payload)
        findings.append(probed)
        findings += await _nodes(server, clock)
        if probed.status is Status.OK:
            types = await Directory(link, publisher, clock).read()
            for type, partitions in sorted(types.partitions.items()):
                topology = topology_of(type, partitions, bands=type in types.with_bands)
                findings.append(await _queues(topology, link, asking, clock))
        return findings
    finally:
        await link.aclose()
        await publishing.aclose()
        await asking.aclose()


async def _nodes(server: Server, clock: Clock) -> list[Finding]:
    """Try each node by itself, where the URL names several: what one that is away costs is not seen as long as others
    are there.
    """
    if len(server.nodes) == 1:
        return []
    return await side_by_side(partial(_node, one, clock) for one in server.each())


async def _node(server: Server, clock: Clock) -> Finding:
    link = Link(server, "examine a node", clock)
    try:
        await link.connect()
    except (ConfigurationError, Unavailable) as error:
        what = str(error).removeprefix("broker: ")
        return Finding(Status.WARN, what, "start this node, or take it out of JOBKIT_BROKER_URL")
    finally:
        await link.aclose()
    return Finding(Status.OK, f"{server.shown} answers")


def _version(told: Any) -> Finding:
    product, version = str(told.get("product", "an unknown product")), str(told.get("version", "of unknown version"))
    what = f"{product} {version}"
    if product != "RabbitMQ":
        untried = f"{what}: jobkit was never tried with it"
        return Finding(Status.WARN, untried, f"use RabbitMQ {OLDEST_VERSION} or later")
    # One that is too old was not even connected to.
    return Finding(Status.OK, what)


def _heartbeat(heartbeat: int, ttl: float) -> Finding:
    what = f"heartbeat {heartbeat} s"
    if 2 * heartbeat < ttl:
        return Finding(Status.OK, what)
    slow = (
        f"{what}: after a worker falls silent its queues stay with it up to {2 * heartbeat} s, longer than its leases"
    )
    return Finding(Status.WARN, slow, f"put ?heartbeat={max(1, int(ttl // 3))} into JOBKIT_BROKER_URL")


def _consumer_timeout(hold: float) -> Finding:
    what = f"JOBKIT_DELIVERY_HOLD={hold:g}"
    if hold + _TIMEOUT_MARGIN_SECONDS <= _CONSUMER_TIMEOUT_SECONDS:
        # It is the one thing of importance that no client can ask for.
        return Finding(Status.OK, f"{what} is below a consumer_timeout that was left at its default")
    usual = f"{_CONSUMER_TIMEOUT_SECONDS:g} s"
    long = f"{what} is not below the consumer_timeout of a server that was left at its default, {usual}"
    return Finding(Status.WARN, long, "lower it to 600, or raise the server's consumer_timeout well above it")


async def _probe(link: Link, publisher: Publisher, max_payload: int) -> Finding:
    """Make a queue, put messages into it and take one out again."""
    queue = f"jobkit:probe-{uuid4().hex}"
    doing = "configure"
    try:
        async with link.channel() as channel:
            declaring = channel.pika.declare_queue(queue, exclusive=True, auto_delete=True)
            probed = await channel.call(declaring, f"making {queue}")
            doing = "write"
            # The first still gets through to a server that is short of memory; the second waits until it no longer is.
            await publisher.deliver([_message(queue)])
            await publisher.deliver([_message(queue)])
            (largest,) = await publisher.publish([_message(queue, bytes(max_payload))])
            if largest.answer is Answer.REJECTED:
                return _too_small(largest.reason, max_payload)
            doing = "read"
            await channel.call(probed.get(no_ack=True, fail=False, timeout=None), f"reading {queue}")
    except ChannelAccessRefused:
        return _not_permitted(link, doing)
    except ChannelClosed as error:
        raise refused(link, error) from error
    except ConfigurationError as error:
        if not isinstance(error.__cause__, ChannelAccessRefused):
            raise
        return _not_permitted(link, doing)
    except Blocked as error:
        change = "give it memory or disk space; `rabbitmq-diagnostics alarms` says which of the two is short"
        return Finding(Status.FAIL, f"it takes no messages: {error}", change)
    return Finding(Status.OK, "it takes messages, and this user may make, write and read queues")


def _too_small(reason: str, max_payload: int) -> Finding:
    what = f"it does not take what JOBKIT_MAX_PAYLOAD_BYTES={max_payload} allows: {reason}"
    return Finding(Status.FAIL, what, "lower that setting, or raise the server's max_message_size")


def _message(queue: str, body: bytes = b"") -> Message:
    return addressed(aio_pika.Message(body, message_id=uuid4().hex, type="jobkit.probe"), queue)


def _not_permitted(link: Link, doing: str) -> Finding:
    user = link.server.url.user or "guest"
    what = f"user {user!r} has no permission to {doing} what begins with 'jobkit'"
    return Finding(Status.FAIL, what, "run the `rabbitmqctl set_permissions` of docs/rabbitmq.md")


async def _queues(topology: Topology, link: Link, asking: Link, clock: Clock) -> Finding:
    type = topology.type
    found = await look(link, topology)
    if (problem := _not_as_made(type, found)) is not None:
        return problem
    silent = await silent_queues(asking, [one.queue for one in topology.bindings], clock)
    if silent:
        what = f"{', '.join(silent)} of job type {type} does not answer: it takes messages and confirms none"
        change = (
            "its partition's worker makes it anew if that loses nothing; where it lasts, start the nodes that have "
            "the queue, or delete it and run `jobkit topology --apply`"
        )
        return Finding(Status.FAIL, what, change)
    return Finding(Status.OK, f"{type}: {len(found)} queues and exchanges are as they should be")


def _not_as_made(type: str, found: Sequence[TopologyPart]) -> Finding | None:
    different = [one for one in found if one.state is PartState.DIFFERENT]
    if different:
        what = f"{different[0].kind} {different[0].name} is not as jobkit makes it: {different[0].problem}"
        return Finding(Status.FAIL, what, "drain it, delete it, and run `jobkit topology --apply`")
    missing = [one.name for one in found if one.state is PartState.MISSING]
    if missing:
        what = f"{', '.join(missing)} of job type {type} is gone, and what was in it is lost"
        change = (
            "run `jobkit topology --apply`, and submit again what `jobkit jobs --state queued` shows and never begins"
        )
        return Finding(Status.FAIL, what, change)
    dead = sum(one.messages for one in found if one.name == dead_letter_queue(type))
    if dead:
        what = f"the server took {dead} messages out of the queues of {type}; they wait in {dead_letter_queue(type)}"
        change = "remove the policy that limits or expires these queues, then move the messages back (docs/rabbitmq.md)"
        return Finding(Status.WARN, what, change)
    return None
