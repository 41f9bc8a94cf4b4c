"""`jobkit exporter`: serves how much there is to do, by job type, also while no worker lives."""

from __future__ import annotations

from typing import Annotated

import typer

from jobkit.cli.options import EnvFile
from jobkit.errors import ConfigurationError


def exporter(
    context: typer.Context,
    types: Annotated[
        list[str] | None, typer.Argument(metavar="[TYPE]...", help="The job types. Default: all that have queues.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65_535, help="Replaces JOBKIT_HEALTH_PORT; 0 chooses one.")
    ] = None,
    env_file: EnvFile = None,
) -> None:
    """Serve depth, age and running jobs of each queue at /metrics, for Prometheus and autoscalers; runs no jobs."""
    from jobkit.cli.session import CommandSession
    from jobkit.worker.exporter import export

    session = CommandSession.begin(context, env_file, log_at_least="debug")
    chosen = session.settings.health_port if port is None else port
    if chosen is None:
        raise ConfigurationError("on which port? Say --port, or set JOBKIT_HEALTH_PORT")
    session.call(
        lambda planes: export(planes, list(dict.fromkeys(types or ())), session.settings, chosen, session.clock),
        limit=None,
    )
