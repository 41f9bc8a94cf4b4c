"""What docs/rabbitmq.md tells operators and other publishers is so."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from jobkit.backends.rabbitmq.address import Server
from jobkit.backends.rabbitmq.broker import RabbitBroker
from jobkit.backends.rabbitmq.topology import DELAY_STEPS, PREFETCH, delay_queues, exclusive_queue, topology_of
from jobkit.model.clock import SystemClock
from jobkit.model.partition import Partition, partition_of
from tests.backends.rabbitmq.conftest import Site
from tests.backends.rabbitmq.traffic import PROOF, consuming, ids, publish, ready, received

PAGE = (Path(__file__).parents[3] / "docs" / "rabbitmq.md").read_text()


def test_the_example_of_a_partition_is_right() -> None:
    (found,) = re.findall(r'crc32\("([^"]+)"\)` is `(\d+)`, so with (\d+) partitions its jobs go to `(\d+)`', PAGE)
    key, checksum, partitions, number = found
    assert partition_of(key, 1 << 32) == int(checksum)
    assert partition_of(key, int(partitions)) == int(number)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node, which is no part of jobkit")
def test_the_partition_in_javascript_is_the_same() -> None:
    (function,) = re.findall(r"```javascript\n(.*?)```", PAGE, re.DOTALL)
    keys = ["", "key-1", "vidéo-7", "日本", "𝄞", *map(str, range(200))]
    program = f"{function}console.log(JSON.stringify({json.dumps(keys)}.map((key) => partitionOf(key, 1000003))))"
    answer = subprocess.run(
        [shutil.which("node") or "node", "-e", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert json.loads(answer.stdout) == [partition_of(key, 1_000_003) for key in keys]


def test_every_name_on_the_server_is_explained() -> None:
    topology = topology_of("T", 1)
    partition = Partition("T", 0)
    made = [
        topology.exchange,
        topology.marker.name,
        *(queue.name for queue in topology.queues),
        exclusive_queue(partition),
    ]
    for name in [*made, "jobkit:types"]:
        assert f"| `{name.replace('.0', '.N')}` |" in PAGE
    assert f"| `{delay_queues(partition)[0].name.replace('.0:delay-1s', '.N:delay-Ss')}` |" in PAGE


def test_the_numbers_are_those_of_the_code() -> None:
    heartbeat = Server.parse("amqp://host").heartbeat
    for claim in (
        f"| `heartbeat` | {heartbeat} |",
        f"the same {PREFETCH} messages",
        f"at most twice `heartbeat`, {2 * heartbeat} seconds",
        f"beyond {DELAY_STEPS[-1]} seconds",
    ):
        assert claim in PAGE


async def test_the_permissions_that_are_asked_for_are_enough(site: Site) -> None:
    (permissions,) = re.findall(r"set_permissions -p VHOST USER '(\S+)' '(\S+)' '(\S+)'", PAGE)
    quoted = ", ".join(f'<<"{expression}">>' for expression in permissions).replace("\\", "\\\\")
    site.server.call('rabbit_auth_backend_internal:add_user(<<"worker">>, <<"worker">>, <<"tests">>)')
    try:
        site.server.call(
            f'rabbit_auth_backend_internal:set_permissions(<<"worker">>, <<"{site.vhost}">>, {quoted}, <<"tests">>)'
        )
        broker = RabbitBroker(site.url().replace("guest:guest", "worker:worker"), SystemClock())
        other = RabbitBroker(site.url().replace("guest:guest", "worker:worker"), SystemClock())
        await broker.declare("t", 2)
        await publish(broker, "a", "b")
        async with consuming(other) as first:
            await received(first, 2)
            async with consuming(broker) as second:
                a, b = await received(second, 2)
                await second.ack(a, PROOF)
                await second.delay(b, 1.0)
                assert await ready(other) == 1
                assert ids(await received(second, 1)) == ["b"]
        await broker.aclose()
        await other.aclose()
    finally:
        site.server.call('rabbit_auth_backend_internal:delete_user(<<"worker">>, <<"tests">>)')
