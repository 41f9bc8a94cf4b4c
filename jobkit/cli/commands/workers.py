"""`jobkit workers`: who is alive, a partition handed over to one of them, and one that drains and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile

if TYPE_CHECKING:
    from jobkit.ports.planes import Planes

app = typer.Typer(no_args_is_help=True, help="Show live workers, and ask something of them.")

Owner = Annotated[str, typer.Argument(help="The worker, as `jobkit workers list` shows it.")]


@app.command("list")
def list_(context: typer.Context, as_json: AsJson = False, env_file: EnvFile = None) -> None:
    """List the live workers, and what was asked of them."""
    from jobkit.cli.session import CommandSession
    from jobkit.cli.tables import WORKER_HEADINGS, worker_row
    from jobkit.ops.views import member_view

    session = CommandSession.begin(context, env_file, as_json=as_json)
    members = session.call(lambda planes: planes.coordinator.members())
    if as_json:
        session.out.document([member_view(one) for one in members])
    elif members:
        session.out.table(WORKER_HEADINGS, [worker_row(one) for one in members], whole="WORKER", right="LATENCY")
    else:
        session.out.note("no live workers; start one with `jobkit worker`")


@app.command()
def drain(context: typer.Context, owner: Owner, as_json: AsJson = False, env_file: EnvFile = None) -> None:
    """Have a worker begin no more jobs, hand its partitions over, finish what it runs, and end: as SIGTERM does."""
    from jobkit.cli.session import CommandSession
    from jobkit.ops.workforce import dismiss

    session = CommandSession.begin(context, env_file, as_json=as_json)
    session.call(lambda planes: dismiss(planes.coordinator, owner))
    if as_json:
        session.out.document({"owner": owner, "dismissed": True})
    else:
        session.out.note(f"asked to drain: {owner}")


@app.command("hand-over")
def hand_over(
    context: typer.Context,
    type: Annotated[str, typer.Argument(help="The job type.")],
    partition: Annotated[int, typer.Argument(min=0, help="The partition, counted from 0.")],
    owner: Owner,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Have a partition led by this worker from now on, as long as it lives. What runs goes on."""
    from jobkit.cli.session import CommandSession
    from jobkit.model.partition import Partition
    from jobkit.ops import workforce

    session = CommandSession.begin(context, env_file, as_json=as_json)

    async def do(planes: Planes) -> None:
        partitions = (await session.layouts(planes.store)).of(type).partitions
        await workforce.hand_over(planes.coordinator, Partition(type, partition), owner, partitions=partitions)

    session.call(do)
    if as_json:
        session.out.document({"type": type, "partition": partition, "owner": owner})
    else:
        session.out.note(f"handed over: {type}/{partition} to {owner}")
