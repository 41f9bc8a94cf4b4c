"""The health endpoints, over HTTP on loopback in real time, alone and on a whole worker."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from jobkit.backends.registry import memory_planes
from jobkit.client import Client
from jobkit.errors import ConfigurationError
from jobkit.plugin.registry import Registry
from jobkit.telemetry import Telemetry
from jobkit.worker import Worker
from jobkit.worker.health import serving_health
from tests.steps import Step, step
from tests.virtual_site import settings_of
from tests.witness import Witness


async def _get(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, Any]:
    async with await anyio.connect_tcp(host, port) as stream:
        await stream.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        received = b""
        async for chunk in stream:
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    return status, json.loads(body) if b"application/json" in head else body


async def _refuses(port: int) -> bool:
    try:
        stream = await anyio.connect_tcp("127.0.0.1", port)
    except OSError:
        return True
    await stream.aclose()
    return False


async def test_a_check_that_holds_is_200_and_one_that_does_not_is_503() -> None:
    found = {"loop_turns": True}
    ready = {"not_draining": True, "consumers_open": False}
    async with serving_health("127.0.0.1", 0, lambda: found, lambda: ready, Telemetry()) as port:
        assert await _get(port, "/live") == (200, {"loop_turns": True})
        assert await _get(port, "/ready") == (503, {"not_draining": True, "consumers_open": False})
        ready["consumers_open"] = True
        assert (await _get(port, "/ready"))[0] == 200
        assert (await _get(port, "/"))[0] == 404
    assert await _refuses(port)


async def test_a_port_that_is_taken_is_named_with_its_variable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"JOBKIT_HEALTH_PORT={port}: cannot listen on 127.0.0.1"):
            async with serving_health("127.0.0.1", port, dict, dict, Telemetry()):
                pytest.fail("it listens twice")


async def test_an_error_in_the_block_is_not_hidden_and_ends_the_endpoint() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        async with serving_health("127.0.0.1", 0, dict, dict, Telemetry()) as port:
            raise KeyError("mine")
    assert raised.group_contains(KeyError)
    assert await _refuses(port)


async def test_a_cancellation_of_the_block_is_not_held_up() -> None:
    with anyio.move_on_after(0.05) as scope:
        async with serving_health("127.0.0.1", 0, dict, dict, Telemetry()):
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110  (what is waited for is a log line)
        await anyio.sleep(0.01)


async def test_a_worker_answers_live_and_ready_until_it_has_drained() -> None:
    """With the machine's clock and the watchdog, as in production."""
    witness = Witness()
    async with memory_planes() as planes:
        settings = settings_of(health_port=0, partitions=1)
        worker = Worker(planes, Registry([step]), ["step"], settings, telemetry=witness.telemetry)
        client = Client(planes, Registry([step]), settings)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            with anyio.fail_after(20):
                job = await client.submit("step", Step(seconds=0.5))
                await _until(lambda: bool(witness.lines("health endpoint")))
                port = witness.lines("health endpoint")[0]["port"]
                assert await _get(port, "/live") == (200, {"loop_turns": True})
                async for record in client.watch(job.id):
                    if record.state == "running":
                        break
                assert (await _get(port, "/ready"))[0] == 200
                worker.drain()
                status, body = await _get(port, "/ready")
                assert (status, body["not_draining"]) == (503, False)
                assert (await _get(port, "/live"))[0] == 200
        assert (await client.status(job.id)).state == "committed"
        assert witness.log[-1]["event"] == "worker stopped"
