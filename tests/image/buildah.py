"""Builds an image and runs it without a container engine: buildah, with its storage in a folder of the tests' own.

A container here has the image's files, user, environment and folder, and the machine's own network and processes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_REPOSITORY = Path(__file__).parents[2]
# What `make image-test` makes, or says why it cannot.
BASE_TREE = _REPOSITORY / ".newer" / "base"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# Registries of a workplace may be signed by its own authority: pip goes by the machine's certificates.
_PIP_CONFIG = f"[global]\ncert = {_CERTIFICATES}\n"
USER = "10001:10001"


def why_not() -> str | None:
    """Return why no image can be built here, or nothing where one can."""
    if os.geteuid() != 0:
        return "only root can build an image here"
    if shutil.which("buildah") is None:
        return "buildah is not installed"
    if not BASE_TREE.is_dir():
        return f"{BASE_TREE} is not there; `make image-test` makes it"
    return None


class Image:
    """The image, built from the repository as it is."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._build()
        (self.facts,) = json.loads(self._buildah("images", "--json", "jobkit:test"))
        inspected = json.loads(self._buildah("inspect", "--type", "image", "jobkit:test"))
        self.config: Mapping[str, Any] = inspected["Docker"]["config"]
        # One for all that is run, since each is a whole copy of the image. What has to be kept is in volumes.
        self._container = self._buildah("from", "jobkit:test").strip()

    @property
    def bytes(self) -> int:
        """How large it is when it is unpacked: all its layers."""
        number, unit = self.facts["size"].split()
        return round(float(number) * {"KB": 1e3, "MB": 1e6, "GB": 1e9}[unit])

    def start(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        volumes: Mapping[str, Path],
        program: Sequence[str] | None = None,
    ) -> subprocess.Popen[str]:
        """Run the image with these arguments, or another program in it; volumes are folders here by paths in there."""
        command = ["run", "--isolation", "chroot", "--user", USER]
        for name, value in environment.items():
            command += ["--env", f"{name}={value}"]
        for inside, outside in volumes.items():
            command += ["--volume", f"{outside}:{inside}"]
        inside_it = [*(self.config["Entrypoint"] if program is None else program), *arguments]
        return subprocess.Popen(
            self._command(*command, self._container, "--", *inside_it),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        volumes: Mapping[str, Path],
        program: Sequence[str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run the image to its end; return its exit code and all it said."""
        with self.start(arguments, environment=environment, volumes=volumes, program=program) as process:
            out, errors = process.communicate(timeout=240)
        return subprocess.CompletedProcess(process.args, process.returncode, out, errors)

    def _build(self) -> None:
        context = self._directory / "base"
        context.mkdir()
        with tarfile.open(context / "base.tar", "w") as tar:
            tar.add(BASE_TREE, arcname=".")
        (context / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
        build = ("bud", "--quiet", "--isolation", "chroot")
        self._buildah(*build, "--tag", "base:test", str(context))
        shutil.rmtree(context)
        pip = self._directory / "pip.conf"
        pip.write_text(_PIP_CONFIG)
        mounts = ("--volume", f"{_CERTIFICATES}:{_CERTIFICATES}:ro", "--volume", f"{pip}:/etc/pip.conf:ro")
        self._buildah(
            # The other format has no place for a health check.
            *(*build, "--format", "docker", "--build-arg", "BASE=base:test", *mounts),
            *("--tag", "jobkit:test", str(_REPOSITORY)),
        )

    def _command(self, *words: str) -> list[str]:
        storage = ("--storage-driver", "vfs", "--root", str(self._directory / "root"))
        return ["buildah", *storage, "--runroot", str(self._directory / "run"), *words]

    def _buildah(self, *words: str) -> str:
        done = subprocess.run(self._command(*words), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"buildah {' '.join(words)}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout
