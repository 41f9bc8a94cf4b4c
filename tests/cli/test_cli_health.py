"""`jobkit health`: a worker is asked over HTTP, and no answer is an answer."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from jobkit.lab.servers.base import free_port
from tests.cli.conftest import Shell


class _Worker(BaseHTTPRequestHandler):
    """Alive, but not ready."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/live" else 503)
        self.end_headers()
        self.wfile.write(b'{"draining":false}')

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def worker() -> Iterator[int]:
    """Something that answers as a worker does; its port is what the settings name."""
    with HTTPServer(("127.0.0.1", 0), _Worker) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        os.environ["JOBKIT_HEALTH_PORT"] = str(server.server_port)
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("worker")
def test_a_worker_that_is_alive_is_healthy(shell: Shell) -> None:
    done = shell("health")
    assert (done.exit_code, done.stdout) == (0, '{"draining":false}\n')


@pytest.mark.usefixtures("worker")
def test_a_worker_that_is_not_ready_is_healthy_until_it_is_asked_for_that(shell: Shell) -> None:
    assert shell("health").exit_code == 0
    done = shell("health", "--ready", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (1, {"healthy": False, "answer": '{"draining":false}'})


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])  # noqa: S104
def test_a_worker_that_listens_everywhere_is_asked_on_this_machine(shell: Shell, host: str) -> None:
    os.environ["JOBKIT_HEALTH_HOST"] = host
    assert shell("health").exit_code == 0


@pytest.mark.usefixtures("worker")
def test_no_proxy_is_asked(shell: Shell) -> None:
    os.environ["http_proxy"] = f"http://127.0.0.1:{free_port()}"
    assert shell("health").exit_code == 0


def test_no_answer_is_not_healthy(shell: Shell) -> None:
    port = free_port()
    os.environ["JOBKIT_HEALTH_PORT"] = str(port)
    done = shell("health")
    assert done.exit_code == 1
    assert f"no answer on 127.0.0.1 port {port}" in done.stdout


@pytest.mark.parametrize("port", [None, "0"])
def test_whoever_is_asked_must_have_a_port(shell: Shell, port: str | None) -> None:
    if port is not None:
        os.environ["JOBKIT_HEALTH_PORT"] = port
    done = shell("health")
    assert done.exit_code == 2
    assert "JOBKIT_HEALTH_PORT" in done.stderr
