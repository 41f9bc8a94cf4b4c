"""The files of a new plugin. It works as it is: its own test passes before anything in it is changed.

The template is a whole plugin called `word-count` in `templates/plugin`, linted and tested like any other code; a new
one is a copy with another name in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable

from jobkit.distribution import DISTRIBUTION

_NAME = "word-count"
_VERSION = "0.1.0"


def plugin_files(name: str, jobkit_version: str) -> Mapping[str, str]:
    """Return the files of plugin `name` by their paths within its directory."""
    words = {
        f"{DISTRIBUTION}>={_VERSION}": f"{DISTRIBUTION}>={jobkit_version}",
        _NAME: name,
        module_of(_NAME): module_of(name),
        _class_prefix(_NAME): _class_prefix(name),
    }
    return {
        _renamed(path, words): _renamed(text, words) for path, text in _read(files("jobkit.cli") / "templates/plugin")
    }


def module_of(name: str) -> str:
    """Return the name under which plugin `name` is imported."""
    return name.replace("-", "_")


def _class_prefix(name: str) -> str:
    return "".join(part.capitalize() for part in module_of(name).split("_"))


def _renamed(text: str, words: Mapping[str, str]) -> str:
    for word, other in words.items():
        text = text.replace(word, other)
    return text


def _read(directory: Traversable, below: str = "") -> list[tuple[str, str]]:
    """Return path and text of each file. "gitignore" is `.gitignore`, which would act on the template itself."""
    found: list[tuple[str, str]] = []
    for entry in sorted(directory.iterdir(), key=lambda entry: entry.name):
        path = below + (".gitignore" if entry.name == "gitignore" else entry.name)
        if entry.is_file():
            found.append((path, entry.read_text(encoding="utf-8")))
        elif entry.name != "__pycache__":
            found += _read(entry, f"{path}/")
    return found
