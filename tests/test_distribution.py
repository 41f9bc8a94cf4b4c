"""The name `jobkit` in the package index is somebody else's: nothing here may tell anybody to install it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

from jobkit.distribution import DISTRIBUTION, install_hint

ROOT = Path(__file__).parent.parent
# In two parts, so that this file is no finding of its own.
STRANGER = re.compile(r"(?<![\w-])" + "jobkit" + r"(\[|\s*[>=~]=\s*\d)|pip install (?:-\S+ )*'?" + r"jobkit(?![\w-])")


def _tracked_texts() -> list[tuple[str, str]]:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)  # noqa: S607
    texts = []
    for name in listed.stdout.decode().splitlines():
        path = ROOT / name
        if path.is_file() and path != Path(__file__):
            texts.append((name, path.read_text(encoding="utf-8", errors="replace")))
    return texts


def test_nothing_names_the_strangers_distribution() -> None:
    found = [f"{name}: {match[0]}" for name, text in _tracked_texts() for match in STRANGER.finditer(text)]
    assert found == []


def test_the_constant_is_the_projects_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == DISTRIBUTION


def test_a_hint_names_every_extra() -> None:
    assert install_hint("redis", "s3") == f"pip install '{DISTRIBUTION}[redis,s3]'"
    assert install_hint() == f"pip install {DISTRIBUTION}"
