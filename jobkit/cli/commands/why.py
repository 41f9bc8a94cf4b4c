"""`jobkit why`: what keeps a job from being done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobkit.ops.lateness import Reason
    from jobkit.ports.inspection import JobRecord
    from jobkit.ports.planes import Planes


def why(
    context: typer.Context,
    id: Annotated[str, typer.Argument(help="The job's id, as `jobkit submit` printed it.")],
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Say in words why a job has not been done yet, and what to do about it."""
    from jobkit.cli.session import CommandSession
    from jobkit.client import found_job
    from jobkit.ops.lateness import why_late
    from jobkit.ops.views import reason_view

    session = CommandSession.begin(context, env_file, as_json=as_json)

    async def ask(planes: Planes) -> tuple[JobRecord, Sequence[Reason]]:
        job = await found_job(planes.inspection, id)
        layouts = await session.layouts(planes.store)
        found = await why_late(planes, job, partitions=layouts.of(job.type).partitions, clock=session.clock)
        return job, found

    job, reasons = session.call(ask)
    if as_json:
        views = [reason_view(reason) for reason in reasons]
        session.out.document({"id": job.id, "state": job.state.value, "reasons": views})
        return
    for reason in reasons:
        session.out.fields([(name, text) for name, text in _told(reason) if text])


def _told(reason: Reason) -> list[tuple[str, str]]:
    return [
        ("why" if reason.blocks else "so", reason.text),
        ("do", reason.change),
        ("by", reason.command),
    ]
