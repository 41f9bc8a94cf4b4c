"""`jobkit status` and `jobkit jobs`: how far jobs have come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile
from jobkit.ports.inspection import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobkit.model.pause import Pause
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
    from jobkit.ops.views import holding_up, job_view
    from jobkit.ops.waiting import waits_for
    from jobkit.plugin.registry import Registry

    session = CommandSession.begin(context, env_file, as_json=as_json)

    # No plugin is needed to look at a job, so one that does not load is no obstacle.
    async def ask(planes: Planes) -> tuple[JobRecord, str | None, Sequence[Pause]]:
        client = Client(planes, Registry(()), session.settings, session.clock)
        job = await client.status(id)
        limit = None if job.state.ended else (await waits_for(planes.coordinator)).get(id)
        return job, limit, await client.pauses()

    job, limit, pauses = session.call(ask)
    pause = holding_up(pauses, job, session.settings.partitions)
    if as_json:
        session.out.document(job_view(job, limit, pause))
    else:
        session.out.fields(job_fields(job, session.clock.wall(), limit, pause))


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
    from jobkit.ops.views import holding_up, job_view
    from jobkit.ops.waiting import waits_for

    session = CommandSession.begin(context, env_file, as_json=as_json)

    async def ask(planes: Planes) -> tuple[Sequence[JobRecord], Mapping[str, str], Sequence[Pause]]:
        found = await planes.inspection.jobs(type=type, key=key, state=state, limit=limit)
        limits = {} if all(job.state.ended for job in found) else await waits_for(planes.coordinator)
        return found, limits, await planes.store.pauses()

    found, limits, pauses = session.call(ask)
    held = [(job, limits.get(job.id), holding_up(pauses, job, session.settings.partitions)) for job in found]
    if as_json:
        session.out.document([job_view(job, waits, pause) for job, waits, pause in held])
        return
    if not found:
        session.out.note("no jobs" if (type, state, key) == (None, None, None) else "no such jobs")
        return
    now = session.clock.wall()
    rows = [job_row(job, now, waits, pause) for job, waits, pause in held]
    session.out.table(JOB_HEADINGS, rows, whole="ID", right="DONE AGE")
    if len(found) == limit:
        session.out.note(f"the latest {limit} only; --limit shows more")
