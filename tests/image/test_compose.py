"""The services of compose.yaml, run in the image on private servers, in the order that the file says."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobkit.lab.servers.base import ServerMissing, free_port
from jobkit.lab.servers.redis import DURABLE
from jobkit.lab.servers.together import start_together
from tests.image.buildah import Image
from tests.image.conftest import Volumes
from tests.image.worker import running_worker

_SERVICES: Mapping[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "compose.yaml").read_text())["services"]


@pytest.fixture
def servers(image: Image) -> Iterator[dict[str, str]]:
    """The URLs of private servers, by plane."""
    with tempfile.TemporaryDirectory(prefix="jobkit-compose-") as name, ExitStack() as stack:
        try:
            yield start_together(Path(name), stack, redis_settings=DURABLE, postgres=True).urls
        except ServerMissing as error:
            pytest.skip(str(error))


def _environment(service: str, servers: Mapping[str, str]) -> dict[str, str]:
    """Return a service's settings, with the servers of this machine in place of the other containers."""
    found = {
        name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for name, value in _SERVICES[service]["environment"].items()
    }
    found |= {f"JOBKIT_{plane.upper()}_URL": url for plane, url in servers.items()}
    # Containers have a network of their own there, and share one here.
    return found | {"JOBKIT_HEALTH_PORT": str(free_port())}


def test_its_services_prepare_the_servers_and_work_on_them(
    image: Image, volumes: Volumes, servers: dict[str, str]
) -> None:
    for name in ("migrate", "topology", "jobkit"):
        done = image.run(_SERVICES[name]["command"], environment=_environment(name, servers), volumes=volumes.mounts())
        assert done.returncode == 0, (name, done.stderr)
    environment = _environment("worker", servers)
    with running_worker(image, _SERVICES["worker"]["command"], environment, volumes.mounts()) as worker:
        payload = json.dumps({"video_id": "clip", "source": "clip.mp4"})
        submitted = image.run(
            ("submit", "transcode", "--payload", payload, "--wait", "--timeout", "120"),
            environment=_environment("jobkit", servers),
            volumes=volumes.mounts(),
        )
        assert submitted.returncode == 0, submitted.stderr
        code, log = worker.terminate()
        assert code == 0, log
