"""The settings as people read them: where each value came from, and the reference that docs/settings.md is.

No secret passes through here: URLs are shown with their passwords masked.
"""

from __future__ import annotations

import os
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from dotenv import dotenv_values
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from jobkit.cli.url_masking import masked_url
from jobkit.model.concurrency import MOST as CONCURRENCY_MOST
from jobkit.model.concurrency import Concurrency
from jobkit.settings import Seconds, Settings

_PREAMBLE = """\
# Settings

<!-- Made by `jobkit config reference`. Do not edit: change jobkit/settings.py, and make it again. -->

What is in effect here, and what set it: `jobkit config show`. Is it sound? `jobkit doctor`.
Where do jobs go? The four URLs at the top of the table. How many at a time? `JOBKIT_CONCURRENCY`.
How soon is a dead worker replaced? `JOBKIT_LEASE_TTL`. Complete files to start from are in [configs/](../configs/).

Settings are environment variables, or files of them: `jobkit --env-file PATH` may be given several
times. Of several files the later wins, and the environment wins over all files. Everything is checked together at
the start; a value that cannot work, or a variable whose name is nearly a setting's, ends the command with exit
code 2 and a message that names it.

Durations are in seconds. A plugin has settings of its own; see its documentation.
"""


@dataclass(frozen=True, slots=True)
class EffectiveSetting:
    """One setting: its variable, its value with secrets masked, and what set it. `default`: nothing did."""

    variable: str
    value: Any
    source: str
    default: bool


def sources(env_files: Sequence[Path]) -> Mapping[str, str]:
    """Return what sets each variable of jobkit's: "environment", or the path of a file.

    Must be asked before the files are loaded, since loading puts what they say into the environment.
    """
    found = {}
    for path in env_files:
        if path.is_file():
            found.update({name.upper(): str(path) for name, value in dotenv_values(path).items() if value is not None})
    found.update({name.upper(): "environment" for name in os.environ})
    return {name: source for name, source in found.items() if name.startswith("JOBKIT_")}


def effective(settings: Settings, found: Mapping[str, str]) -> list[EffectiveSetting]:
    """Return every setting in the order of the model; `found` is what `sources` returned."""
    listed = []
    for name in Settings.model_fields:
        variable = variable_of(name)
        default = name not in settings.model_fields_set
        source = "default" if default else found.get(variable, "environment")
        listed.append(EffectiveSetting(variable, _shown(getattr(settings, name)), source, default))
    return listed


def reference() -> str:
    """Return the settings reference as Markdown."""
    lines = [_PREAMBLE, "| Variable | Takes | Default | Meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = text_of(_shown(field.default))
        shown = f"`{default}`" if default else "none"
        lines.append(f"| `{variable_of(name)}` | {_kind(field)} | {shown} | {field.description or ''} |")
    return "\n".join(lines) + "\n"


def variable_of(name: str) -> str:
    """Return the environment variable of a field."""
    return f"JOBKIT_{name.upper()}"


def text_of(value: Any) -> str:
    """Return a setting's value as it would be written in the environment."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shown(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return masked_url(value.get_secret_value())
    if isinstance(value, Concurrency):
        return str(value) if value.of_type else value.total
    return list(value) if isinstance(value, tuple) else value


def _kind(field: FieldInfo) -> str:
    """Return what a setting takes, with its bounds."""
    annotation: Any = field.annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(part for part in typing.get_args(annotation) if part is not type(None))
    if annotation is SecretStr:
        return "URL"
    if annotation is Concurrency:
        return f"whole number, at least 1, at most {CONCURRENCY_MOST}, and a list"
    if typing.get_origin(annotation) is tuple:
        return "list"
    kind = {int: "whole number", float: "number", str: "text", Path: "path", bool: "true or false"}[annotation]
    if annotation is float and _is_duration(field):
        kind = "seconds"
    bounds = _bounds(field)
    return f"{kind}, {bounds}" if bounds else kind


def _is_duration(field: FieldInfo) -> bool:
    (marker,) = (part for part in typing.get_args(Seconds) if isinstance(part, FieldInfo))
    return all(rule in field.metadata for rule in marker.metadata)


def _bounds(field: FieldInfo) -> str:
    """Return the bounds of a number in words; of several lower ones the strictest."""
    lowest: list[float] = [float(str(rule.ge)) for rule in field.metadata if isinstance(rule, Ge)]
    above: list[float] = [float(str(rule.gt)) for rule in field.metadata if isinstance(rule, Gt)]
    highest: list[float] = [float(str(rule.le)) for rule in field.metadata if isinstance(rule, Le)]
    below: list[float] = [float(str(rule.lt)) for rule in field.metadata if isinstance(rule, Lt)]
    words = []
    if lowest:
        words.append(f"at least {max(lowest):.15g}")
    elif above:
        words.append(f"above {max(above):.15g}")
    if highest:
        words.append(f"at most {min(highest):.15g}")
    elif below:
        words.append(f"below {min(below):.15g}")
    return ", ".join(words)
