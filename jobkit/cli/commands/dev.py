"""`jobkit dev`: everything for writing a plugin, in one command, on this machine."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import EnvFile

if TYPE_CHECKING:
    from jobkit.ports.planes import Planes

_FOLDER = Path(".jobkit-dev")


def dev(
    context: typer.Context,
    plugins: Annotated[list[str], typer.Argument(metavar="PLUGIN...", help="Modules, as in JOBKIT_PLUGINS.")],
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65_535, help="Of the dashboard; 0 chooses one.")
    ] = None,
    env_file: EnvFile = None,
) -> None:
    """Run a worker that reloads when code changes, and the dashboard, on embedded backends, until Ctrl-C.

    What settings do not say otherwise is kept in .jobkit-dev, in the current folder.
    """
    import anyio

    from jobkit.cli.commands.web import show
    from jobkit.cli.session import CommandSession
    from jobkit.worker.auto_reload import ReloadingWorker, code_of

    places = code_of(plugins)
    _FOLDER.mkdir(exist_ok=True)
    database, here = f"sqlite:///{_FOLDER}/jobkit.db", os.environ
    for plane in ("BROKER", "COORDINATOR", "STORE"):
        here.setdefault(f"JOBKIT_{plane}_URL", database)
    here.setdefault("JOBKIT_BLOBS_URL", f"file:{_FOLDER}/blobs")
    here["JOBKIT_PLUGINS"] = ",".join(plugins)
    session = CommandSession.begin(context, env_file, log_at_least="info")
    if port is not None:
        # Only a checked field is changed, so the copy needs no second validation.
        session = replace(session, settings=session.settings.model_copy(update={"web_port": port}))
    command = (sys.executable, "-m", "jobkit", "worker")
    worker = ReloadingWorker(command, dict(here), places, session.clock)

    async def until_told(planes: Planes) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await show(planes, session)
            tasks.cancel_scope.cancel()

    session.call(until_told, limit=None, create=True)
