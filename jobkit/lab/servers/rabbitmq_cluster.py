"""A private RabbitMQ cluster of three nodes, with one Erlang port mapper, on ports of the loopback address."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jobkit.lab.servers.rabbitmq import RabbitServer

_SIZE = 3


class RabbitCluster:
    """The nodes, of which each can be ill-treated by itself; what is made on one is on all."""

    def __init__(self, directory: Path) -> None:
        first = RabbitServer(_folder(directory, 0))
        self.nodes = [first, *(RabbitServer(_folder(directory, number), beside=first) for number in range(1, _SIZE))]

    def url(self, vhost: str = "/", *, ports: list[int] | None = None) -> str:
        """Return the URL of all nodes, by way of other `ports` where there are proxies at them."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports or [node.port for node in self.nodes])
        return f"amqp://guest:guest@{hosts}/{vhost.replace('/', '%2F')}"

    def start(self) -> None:
        """Start the nodes, the first one first, and return once all have joined."""
        first, *others = self.nodes
        first.start()
        with ThreadPoolExecutor(len(others)) as threads:
            for started in [threads.submit(node.start) for node in others]:
                started.result()

    def end(self) -> None:
        """Stop all that was started, in a hurry."""
        for node in reversed(self.nodes):
            node.end()

    @property
    def running(self) -> int:
        """How many nodes the cluster has and sees, by what its last one says."""
        return int(self.nodes[-1].call("length(rabbit_nodes:all_running())"))


def _folder(directory: Path, number: int) -> Path:
    folder = directory / f"rabbitmq-{number}"
    folder.mkdir()
    return folder
