"""The options that many commands share, so that they read and behave alike in all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

# `Annotated` alone cannot give a default; every command says `as_json: AsJson = False, env_file: EnvFile = None`.
EnvFile = Annotated[
    list[Path] | None,
    typer.Option(
        "--env-file",
        metavar="PATH",
        help="Read settings from this file. Repeatable: later files win, the environment wins over all of them.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


@dataclass(frozen=True, slots=True)
class Globals:
    """What was said before the command's name."""

    env_files: tuple[Path, ...] = ()
    debug: bool = False


def globals_of(context: typer.Context) -> Globals:
    """Return what was said before the command's name."""
    found = context.find_root().obj
    return found if isinstance(found, Globals) else Globals()
