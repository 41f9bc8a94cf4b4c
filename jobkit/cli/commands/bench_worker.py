"""`jobkit bench-worker`, which `jobkit bench` starts: a worker that says at its end what it has used."""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from jobkit.ports.planes import Planes


def bench_worker(
    context: typer.Context,
    type: Annotated[str, typer.Argument(help="The job type to serve.")],
    account: Annotated[Path, typer.Argument(help="The file to write to.")],
) -> None:
    """Run jobs of one type until told to stop, then write down processor time and round trips."""
    from jobkit.cli.commands.worker import serve
    from jobkit.cli.session import CommandSession
    from jobkit.lab.bench.processes import write_account
    from jobkit.lab.bench.report import Account
    from jobkit.lab.bench.run import round_trips

    session = CommandSession.begin(context, None, log_at_least="debug")
    registry = session.registry()
    # To load what a worker is made of takes as long as thousands of jobs, and is none of theirs.
    import_module("jobkit.worker.signals")

    async def work(planes: Planes) -> None:
        before = time.process_time()
        await serve(planes, registry, [type], session)
        used = Account(time.process_time() - before, round_trips(planes.coordinator), round_trips(planes.store))
        write_account(account, used)

    session.call(work, limit=None, create=True, long_running=True)
