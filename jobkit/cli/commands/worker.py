"""`jobkit worker`: runs jobs until it is told to stop.

The first SIGTERM or SIGINT drains: no new jobs, running ones may finish. The second ends the process at once, and
its jobs run again elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import EnvFile
from jobkit.errors import ConfigurationError
from jobkit.model.concurrency import Concurrency

if TYPE_CHECKING:
    from jobkit.cli.session import CommandSession
    from jobkit.plugin.registry import Registry
    from jobkit.ports.planes import Planes
    from jobkit.settings import Settings


def worker(
    context: typer.Context,
    types: Annotated[
        list[str] | None, typer.Argument(metavar="[TYPE]...", help="The job types to serve. Default: all there are.")
    ] = None,
    concurrency: Annotated[
        str | None,
        typer.Option("--concurrency", "-c", metavar="NUMBER[,TYPE=NUMBER]...", help="Replaces JOBKIT_CONCURRENCY."),
    ] = None,
    env_file: EnvFile = None,
) -> None:
    """Run jobs until told to stop: Ctrl-C or SIGTERM lets running jobs finish, a second one ends at once."""
    from dataclasses import replace

    from jobkit.cli.session import CommandSession

    session = CommandSession.begin(context, env_file, log_at_least="debug")
    if concurrency is not None:
        session = replace(session, settings=_with_concurrency(session.settings, concurrency))
    registry = session.registry()
    named = _named(registry, types or [])
    session.call(lambda planes: _serve(planes, registry, named, session), limit=None, create=True, long_running=True)


def _with_concurrency(settings: Settings, text: str) -> Settings:
    """Return the settings with what the option says. Raises `ConfigurationError`."""
    try:
        # Only a checked field is changed, so the copy needs no second validation.
        return settings.model_copy(update={"concurrency": Concurrency.parse(text)})
    except ValueError as error:
        raise ConfigurationError(f"--concurrency {text}: {error}") from error


def _named(registry: Registry, types: list[str]) -> list[str]:
    """Return the types that were named, each once. Raises `UnknownType`, or `ConfigurationError` where none exists."""
    if not types and not registry.processors:
        raise ConfigurationError(
            "there is nothing to serve: no processors are installed, and JOBKIT_PLUGINS names none; "
            "`jobkit new-plugin NAME` makes one to start from"
        )
    return [registry.kept_as(type) for type in dict.fromkeys(types)]


async def _serve(planes: Planes, registry: Registry, named: list[str], session: CommandSession) -> None:
    await serve(planes, registry, named or await _all(registry), session)


async def _all(registry: Registry) -> list[str]:
    """Return the types to serve where none was named. Raises `ConfigurationError` where none of them can be."""
    import structlog

    unconfigured = await registry.unconfigured()
    for type, reason in {**registry.broken, **unconfigured}.items():
        structlog.get_logger("jobkit").warning("job type not served", type=type, reason=reason)
    # A group is served as a whole, or not at all.
    without = {registry.processors[type].kept_as for type in unconfigured}
    served = [type for type in registry.kept() if type not in without]
    if not served:
        raise ConfigurationError("\n".join(unconfigured.values()))
    return served


async def serve(planes: Planes, registry: Registry, types: list[str], session: CommandSession) -> None:
    """Run a worker until signals end it."""
    from jobkit.worker import signals

    code = await signals.serve(planes, registry, types, session.settings, session.clock)
    if code:
        raise typer.Exit(code)
