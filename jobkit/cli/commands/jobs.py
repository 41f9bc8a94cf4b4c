"""`jobkit status` and `jobkit jobs`: how far jobs have come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile
from jobkit.ports.inspection import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobkit.ports.inspection import JobRecord
    from jobkit.ports.planes import Planes


def status(
    context: typer.Context,
    id: Annotated[str, typer.Argument(help="The job's id, as `jobkit submit` printed it.")],
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Show one job: its state, progress, failed attempts and result."""
    from jobkit.cli.session import CommandSession
    from jobkit.cli.tables import job_fields
    from jobkit.client import Client
    from jobkit.ops.views import job_view
    from jobkit.ops.waiting import waits_for
    from jobkit.plugin.registry import Registry

    session = CommandSession.begin(context, env_file, as_json=as_json)

    # No plugin is needed to look at a job, so one that does not load is no obstacle.
    async def ask(planes: Planes) -> tuple[JobRecord, str | None]:
        job = await Client(planes, Registry(()), session.settings, session.clock).status(id)
        return job, None if job.state.ended else (await waits_for(planes.coordinator)).get(id)

    job, limit = session.call(ask)
    if as_json:
        session.out.document(job_view(job, limit))
    else:
        session.out.fields(job_fields(job, session.clock.wall(), limit))


def jobs(
    context: typer.Context,
    type: Annotated[str | None, typer.Option("--type", help="Only jobs of this type.")] = None,
    state: Annotated[JobState | None, typer.Option("--state", help="Only jobs in this state.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Only jobs of this key.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many to show at most.")] = 50,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """List jobs, the latest submitted first."""
    from jobkit.cli.session import CommandSession
    from jobkit.cli.tables import JOB_HEADINGS, job_row
    from jobkit.ops.views import job_view
    from jobkit.ops.waiting import waits_for

    session = CommandSession.begin(context, env_file, as_json=as_json)

    async def ask(planes: Planes) -> tuple[Sequence[JobRecord], Mapping[str, str]]:
        found = await planes.inspection.jobs(type=type, key=key, state=state, limit=limit)
        return found, {} if all(job.state.ended for job in found) else await waits_for(planes.coordinator)

    found, limits = session.call(ask)
    if as_json:
        session.out.document([job_view(job, limits.get(job.id)) for job in found])
        return
    if not found:
        session.out.note("no jobs" if (type, state, key) == (None, None, None) else "no such jobs")
        return
    now = session.clock.wall()
    session.out.table(
        JOB_HEADINGS, [job_row(job, now, limits.get(job.id)) for job in found], whole="ID", right="DONE AGE"
    )
    if len(found) == limit:
        session.out.note(f"the latest {limit} only; --limit shows more")
