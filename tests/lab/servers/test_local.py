"""`make servers`: starts what an env file names, says what is in the way, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from jobkit.errors import ConfigurationError
from jobkit.lab.servers.base import accepts, free_port
from jobkit.lab.servers.local import PortTaken, require_free, running_servers, wanted_servers, who_listens

_COMMAND = [sys.executable, "-m", "jobkit.lab.servers", "--env-file"]


def _env_file(directory: Path, **urls: str) -> Path:
    path = directory / "some.env"
    path.write_text("".join(f"JOBKIT_{plane.upper()}_URL={url}\n" for plane, url in urls.items()))
    return path


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


# ---- what is wanted -----------------------------------------------------------------------------------------------


def test_planes_with_the_same_url_share_a_server(tmp_path: Path, port: int) -> None:
    url = f"redis://127.0.0.1:{port}/0"
    (wanted,) = wanted_servers(_env_file(tmp_path, coordinator=url, store=url, blobs="file:blobs"))
    assert (wanted.planes, wanted.port) == (("coordinator", "store"), port)


def test_an_s3_server_is_where_the_endpoint_is(tmp_path: Path, port: int) -> None:
    url = f"s3://a:b@bucket/?endpoint_url=http%3A%2F%2F127.0.0.1%3A{port}"
    (wanted,) = wanted_servers(_env_file(tmp_path, blobs=url))
    assert wanted.port == port


@pytest.mark.parametrize(
    ("urls", "message"),
    [
        ({"blobs": "file:blobs", "store": "sqlite:///x.db"}, "names no server"),
        ({"broker": "kafka://127.0.0.1:1"}, "JOBKIT_BROKER_URL: a server can be started for amqp:, redis:"),
        (
            {"broker": "amqp://guest:guest@rabbitmq.internal:5672/%2F"},
            "JOBKIT_BROKER_URL: .* name 127.0.0.1 and a port",
        ),
        ({"store": "postgresql://127.0.0.1/jobs"}, "JOBKIT_STORE_URL: .* name 127.0.0.1 and a port"),
        ({"blobs": "s3://bucket/"}, "JOBKIT_BLOBS_URL: .* name 127.0.0.1 and a port"),
        ({"coordinator": "redis://127.0.0.1:7/0", "store": "redis://127.0.0.1:7/1"}, "have the same port"),
    ],
)
def test_what_cannot_be_started_is_refused(tmp_path: Path, urls: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        wanted_servers(_env_file(tmp_path, **urls))


@pytest.mark.servers("rabbitmq")
def test_a_login_that_the_server_will_not_have_is_refused(tmp_path: Path, port: int) -> None:
    wanted = wanted_servers(_env_file(tmp_path, broker=f"amqp://me:secret@127.0.0.1:{port}/%2F"))
    with (
        pytest.raises(ConfigurationError, match=r"JOBKIT_BROKER_URL: .* amqp://guest:guest@127\.0\.0\.1"),
        running_servers(wanted, tmp_path),
    ):
        pytest.fail("it was started")


# ---- what is in the way -------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_named_with_what_has_it(tmp_path: Path, taken: int) -> None:
    wanted = wanted_servers(_env_file(tmp_path, coordinator=f"redis://127.0.0.1:{taken}/0"))
    mine = rf"port {taken} is taken by .+ \(pid {os.getpid()}\)"
    with pytest.raises(PortTaken, match=mine):
        require_free(wanted)


def test_who_listens_is_not_known_of_other_users(monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    def refuse(kind: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", refuse)
    assert who_listens(taken) == "a process of another user"


# ---- the command --------------------------------------------------------------------------------------------------


def _start(env_file: Path, directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*_COMMAND, str(env_file)],
        env={**os.environ, "TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _said_until(process: subprocess.Popen[str], end: str) -> str:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if end in line:
            return said
    raise AssertionError(said)


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """Where the command makes its temporary directory."""
    room = tmp_path / "room"
    room.mkdir()
    return room


@pytest.mark.servers("redis")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_servers_run_until_told_to_end_and_leave_nothing(
    tmp_path: Path, room: Path, port: int, number: signal.Signals
) -> None:
    env_file = _env_file(tmp_path, coordinator=f"redis://127.0.0.1:{port}/0")
    with _start(env_file, room) as process:
        said = _said_until(process, "make demo")
        assert f"redis://127.0.0.1:{port}/0" in said
        assert f"make demo ENV={env_file}" in said
        assert accepts(port)
        process.send_signal(number)
        rest, _ = process.communicate(timeout=30)
    assert (process.returncode, rest) == (0, "the servers have ended, and their data is gone\n")
    assert not accepts(port)
    assert list(room.iterdir()) == []


@pytest.mark.servers("redis")
def test_a_server_that_ends_by_itself_ends_all_and_its_log_is_kept(tmp_path: Path, room: Path, port: int) -> None:
    with _start(_env_file(tmp_path, coordinator=f"redis://127.0.0.1:{port}/0"), room) as process:
        _said_until(process, "make demo")
        (server,) = [child for child in psutil.Process(process.pid).children() if "redis" in child.name()]
        server.kill()
        rest, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"Redis on port {port} ended by itself" in rest
    assert list(room.glob("jobkit-servers-*/redis-*/*.log"))


def test_a_taken_port_ends_the_command_before_anything_is_started(tmp_path: Path, room: Path, taken: int) -> None:
    with _start(_env_file(tmp_path, coordinator=f"redis://127.0.0.1:{taken}/0"), room) as process:
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert f"port {taken} is taken by" in said
    assert list(room.iterdir()) == []


@pytest.fixture
def open_room() -> Iterator[Path]:
    """A directory that other users can pass through, as PostgreSQL's has to where this one is root."""
    with tempfile.TemporaryDirectory(prefix="jobkit-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.mark.servers("rabbitmq", "redis", "postgres", "s3")
def test_all_kinds_of_servers_answer_at_the_urls_of_the_file(tmp_path: Path, open_room: Path) -> None:
    ports = [free_port() for _ in range(4)]
    secret = "jobkit:jobkit%2Fsecret%2Bkey"
    wanted = wanted_servers(
        _env_file(
            tmp_path,
            broker=f"amqp://guest:guest@127.0.0.1:{ports[0]}/%2F",
            coordinator=f"redis://127.0.0.1:{ports[1]}/0",
            store=f"postgresql://postgres:postgres@127.0.0.1:{ports[2]}/postgres",
            blobs=f"s3://{secret}@jobkit/?endpoint_url=http%3A%2F%2F127.0.0.1%3A{ports[3]}",
        )
    )
    with running_servers(wanted, open_room) as servers:
        assert [server.name for server in servers] == ["RabbitMQ", "Redis", "PostgreSQL", "S3"]
        assert all(server.is_running() for server in servers)
        assert all(accepts(port) for port in ports)
    assert not any(server.is_running() for server in servers)
    # Killed is not gone: the kernel takes a process with much memory apart for a while.
    deadline = time.monotonic() + 10
    while any(accepts(port) for port in ports):
        assert time.monotonic() < deadline, [who_listens(port) for port in ports if accepts(port)]
        time.sleep(0.05)
