"""`jobkit topology` as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import aio_pika
import pytest

from jobkit.backends.registry import open_planes
from jobkit.model.envelope import Envelope
from jobkit.model.partition import Partition
from jobkit.settings import Settings
from tests.backends.rabbitmq.conftest import Site

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def environment(site: Site, tmp_path: Path) -> dict[str, str]:
    database = f"sqlite:///{tmp_path}/jobs.db"
    async with open_planes(
        Settings(broker_url=database, coordinator_url=database, store_url=database, blobs_url=f"file:{tmp_path}/blobs")
    ):
        # Who only looks makes none.
        pass
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "JOBKIT_BROKER_URL": site.url(),
        "JOBKIT_PLUGINS": "jobkit.lab.bench.noop:noop",
        "JOBKIT_PARTITIONS": "2",
        **{f"JOBKIT_{plane}_URL": "sqlite:///jobs.db" for plane in ("STORE", "COORDINATOR")},
        "JOBKIT_BLOBS_URL": "file:blobs",
    }


def jobkit(environment: dict[str, str], directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jobkit", "topology", "bench.noop", *arguments],
        env=environment,
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def test_what_is_missing_is_shown_and_applied(environment: dict[str, str], tmp_path: Path, site: Site) -> None:
    before = jobkit(environment, tmp_path, "--json")
    assert before.returncode == 1
    assert {one["state"] for one in json.loads(before.stdout)["parts"]} == {"missing"}
    applied = jobkit(environment, tmp_path, "--apply")
    assert applied.returncode == 0, applied.stderr
    assert "missing" not in applied.stdout
    assert "jobkit.bench.noop.1" in applied.stdout
    after = jobkit(environment, tmp_path, "--json")
    assert after.returncode == 0
    assert {one["state"] for one in json.loads(after.stdout)["parts"]} == {"there"}
    async with site.broker() as broker:
        assert len(await broker.depths()) == 2
        await broker.publish([(Partition("bench.noop", 1), Envelope(id="a", type="bench.noop", body=b"{}", key="k"))])
    shown = json.loads(jobkit(environment, tmp_path, "--json").stdout)["parts"]
    assert {one["name"]: one["messages"] for one in shown}["jobkit.bench.noop.1"] == 1


async def test_a_queue_made_in_another_way_is_told(environment: dict[str, str], tmp_path: Path, site: Site) -> None:
    assert jobkit(environment, tmp_path, "--apply").returncode == 0
    async with await aio_pika.connect(site.url()) as connection:
        channel = await connection.channel()
        await channel.queue_delete("jobkit.bench.noop.1")
        await channel.declare_queue("jobkit.bench.noop.1", durable=True)
    shown = jobkit(environment, tmp_path, "--json")
    assert shown.returncode == 1
    states = {one["name"]: one["state"] for one in json.loads(shown.stdout)["parts"]}
    assert states["jobkit.bench.noop.1"] == "different"
    assert states["jobkit.bench.noop.0"] == "there"


def test_a_server_that_is_not_there_is_exit_code_3_and_the_password_stays_secret(
    environment: dict[str, str], tmp_path: Path
) -> None:
    answer = jobkit({**environment, "JOBKIT_BROKER_URL": "amqp://user:hunter2@127.0.0.1:1/"}, tmp_path)
    assert answer.returncode == 3
    assert "hunter2" not in answer.stdout + answer.stderr
