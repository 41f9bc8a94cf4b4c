"""`jobkit leases`: who may work now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobkit.model.pause import Pause
    from jobkit.ports.coordinator import LeaseInfo, Member
    from jobkit.ports.planes import Planes


def leases(
    context: typer.Context,
    prefix: Annotated[
        str, typer.Option("--prefix", help="Only leases whose resource starts with this: `leader/`, or `TYPE/`.")
    ] = "",
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """List the live leases and the live workers."""
    from jobkit.cli.session import CommandSession
    from jobkit.cli.tables import LEASE_HEADINGS, WORKER_HEADINGS, lease_row, pause_text, worker_row
    from jobkit.ops.views import lease_view, member_view, pause_view

    session = CommandSession.begin(context, env_file, as_json=as_json)
    held, members, pauses = session.call(lambda planes: _ask(planes, prefix))
    if as_json:
        session.out.document(
            {
                "leases": [lease_view(one) for one in held],
                "workers": [member_view(one) for one in members],
                "pauses": [pause_view(one) for one in pauses],
            }
        )
        return
    if held:
        session.out.table(LEASE_HEADINGS, [lease_row(one) for one in held], whole="RESOURCE", right="TOKEN")
    else:
        session.out.note("no live leases" if not prefix else f"no live leases under {prefix!r}")
    if members:
        session.out.text("")
        session.out.table(WORKER_HEADINGS, [worker_row(one) for one in members], whole="WORKER", right="LATENCY")
    else:
        session.out.note("no live workers; start one with `jobkit worker`")
    for pause in pauses:
        session.out.note(f"paused: {pause_text(pause, session.clock.wall())}")


async def _ask(planes: Planes, prefix: str) -> tuple[Sequence[LeaseInfo], Sequence[Member], Sequence[Pause]]:
    coordinator = planes.coordinator
    return await coordinator.leases(prefix), await coordinator.members(), await planes.store.pauses()
