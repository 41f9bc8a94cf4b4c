"""The declarations: names that cannot meet, and what docs/rabbitmq.md promises to publishers."""

from __future__ import annotations

import itertools

from jobkit.backends.rabbitmq.topology import (
    DELAY_STEPS,
    Topology,
    delay_queues,
    delay_step,
    exclusive_queue,
    topology_of,
)
from jobkit.model.partition import Partition


def names(topology: Topology) -> list[str]:
    numbers = range(topology.partitions)
    partitions = [Partition(topology.type, number) for number in numbers]
    queues = [topology.marker, *topology.queues, *itertools.chain(*map(delay_queues, partitions))]
    return [queue.name for queue in queues] + [exclusive_queue(partition) for partition in partitions]


def test_no_two_types_have_a_queue_in_common() -> None:
    types = ["t", "t.0", "t.1", "t.0.1", "t.dead", "t.0.delay-1s", "t.seat", "t.partitions", "types"]
    queues = list(itertools.chain(*(names(topology_of(type, 3)) for type in types)))
    assert len(queues) == len(set(queues))


def test_a_partition_number_leads_to_its_queue() -> None:
    bindings = topology_of("t", 2).bindings
    assert [(one.exchange, one.key, one.queue) for one in bindings] == [
        ("jobkit.t", "0", "jobkit.t.0"),
        ("jobkit.t", "1", "jobkit.t.1"),
    ]


def test_every_queue_with_jobs_is_a_quorum_queue_that_dead_letters_at_least_once() -> None:
    _, *partitions = topology_of("t", 3).queues
    for queue in [*partitions, *delay_queues(Partition("t", 0))]:
        assert queue.arguments["x-queue-type"] == "quorum"
        assert queue.arguments["x-dead-letter-strategy"] == "at-least-once"
        assert queue.arguments["x-overflow"] == "reject-publish"
    assert all(queue.arguments["x-single-active-consumer"] for queue in partitions)


def test_a_delay_is_never_shorter_than_asked_and_at_most_twice_as_long() -> None:
    for seconds in (0.0, 0.3, 1.0, 1.5, 7.0, 300.0, 1024.0):
        assert seconds <= delay_step(seconds) <= max(1.0, 2 * seconds)


def test_a_delay_beyond_the_longest_step_goes_several_rounds() -> None:
    left, waited, rounds = 5000.0, 0, 0
    while left > 0:
        step = delay_step(left)
        waited, left, rounds = waited + step, left - step, rounds + 1
    assert waited >= 5000
    assert rounds == 5
    assert waited <= 5000 + DELAY_STEPS[-1]


def test_consuming_depends_on_no_queue_that_lives_on_one_node_only() -> None:
    topology = topology_of("t", 3)
    for queue in (topology.marker, *topology.queues):
        assert queue.arguments["x-queue-type"] == "quorum"


def test_no_number_of_hand_overs_makes_the_server_drop_a_message() -> None:
    _, *partitions = topology_of("t", 3).queues
    for queue in partitions:
        assert int(queue.arguments["x-delivery-limit"]) > 1_000_000_000
