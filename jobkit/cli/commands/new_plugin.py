"""`jobkit new-plugin`: makes a package to start from. It never overwrites anything."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from jobkit.errors import ConfigurationError

# Both a distribution's name and, with '_' for '-', a module's; short enough for a job type, too.
_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_LONGEST_NAME = 50


def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the package and of its job type: `word-count`.")],
    path: Annotated[Path, typer.Option("--path", metavar="DIR", help="Where its directory is made.")] = Path(),
) -> None:
    """Make a working plugin package, with a processor and its test."""
    from jobkit.cli.plugin_template import plugin_files
    from jobkit.distribution import installed_version

    _check_name(name)
    if not path.is_dir():
        raise ConfigurationError(f"--path {path}: no such directory")
    target = path / name
    if target.exists() or target.is_symlink():
        raise ConfigurationError(f"{target} exists, and nothing is overwritten; choose another NAME or --path")
    _check_free(name)
    target.mkdir()
    for relative, text in plugin_files(name, installed_version()).items():
        file = target / relative
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    typer.echo(str(target))
    typer.echo(f"made; test it with: cd {target} && python -m pytest", err=True)


def _check_name(name: str) -> None:
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"NAME {name!r}: use lower-case letters and digits, with single '-' or '_' between them, "
            f"a letter first, at most {_LONGEST_NAME} of them"
        )


def _check_free(name: str) -> None:
    """Raise `ConfigurationError` where the plugin's module would hide, or be hidden by, one that is there."""
    import keyword
    from importlib.util import find_spec

    from jobkit.cli.plugin_template import module_of

    module = module_of(name)
    if keyword.iskeyword(module) or keyword.issoftkeyword(module):
        raise ConfigurationError(f"NAME {name!r} is a word of the Python language; choose another")
    found = find_spec(module)
    # A directory that only happens to have the name is found, too, but without an origin.
    if found is not None and found.origin is not None:
        raise ConfigurationError(f"NAME {name!r}: there is already a module {module!r} here; choose another")
