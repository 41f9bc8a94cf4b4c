"""What the image promises, of the image itself: small, complete, without rights, alive, and able to do its work."""

from __future__ import annotations

import json

from jobkit.lab.servers.base import free_port
from tests.image.buildah import USER, Image
from tests.image.conftest import Volumes
from tests.image.worker import running_worker

MOST_BYTES = 450e6


def test_it_is_small(image: Image) -> None:
    assert image.bytes < MOST_BYTES


def test_it_runs_without_rights_and_has_a_health_check(image: Image) -> None:
    assert image.config["User"] == USER
    assert image.config["Healthcheck"]["Test"] == ["CMD", "jobkit", "health"]


def test_its_packages_fit_each_other_and_nothing_is_there_to_build_or_install_with(
    image: Image, volumes: Volumes
) -> None:
    # The base's own pip, where it has one, would ask about the base's packages: metadata is asked instead.
    code = (
        "import importlib.metadata as m, shutil; from importlib.util import find_spec; "
        "print(find_spec('pip'), shutil.which('gcc'), shutil.which('strip'), len(list(m.distributions())))"
    )
    done = image.run(("-c", code), program=("/opt/jobkit/bin/python",), environment={}, volumes=volumes.mounts())
    assert done.returncode == 0, done.stderr
    *tools, packages = done.stdout.split()
    assert tools == ["None"] * 3
    assert int(packages) > 40


def test_a_worker_in_it_is_healthy_transcodes_and_drains(image: Image, volumes: Volumes) -> None:
    environment = {"JOBKIT_HEALTH_PORT": str(free_port()), "JOBKIT_TRANSCODE_SOURCE_ROOTS": "/videos"}
    with running_worker(image, ("worker", "transcode"), environment, volumes.mounts()) as worker:
        assert worker.user() == int(USER.split(":")[0])
        payload = json.dumps({"video_id": "clip", "source": "clip.mp4"})
        submitted = image.run(
            ("submit", "transcode", "--payload", payload, "--wait", "--timeout", "120", "--json"),
            environment=environment,
            volumes=volumes.mounts(),
        )
        assert submitted.returncode == 0, submitted.stderr
        assert worker.health().returncode == 0
        code, log = worker.terminate()
        assert code == 0, log
        assert worker.health().returncode == 1
    made = {path.suffix for path in volumes.data.rglob("*") if path.is_file()}
    assert {".mp4", ".m3u8"} <= made


def test_the_benchmark_runs_in_it_without_more_packages(image: Image, volumes: Volumes) -> None:
    words = ("--jobs", "200", "--keys", "100", "--seconds", "1", "--rate", "20", "--leases", "100", "--json")
    done = image.run(("bench", *words), environment={}, volumes=volumes.mounts())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
