"""`jobkit status` and `jobkit jobs`: how far jobs have come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile
from jobkit.cli.output import plain
from jobkit.model.job_state import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobkit.cli.session import CommandSession
    from jobkit.client.layouts import Layouts
    from jobkit.model.pause import Pause
    from jobkit.ports.checkpoints import Checkpoint
    from jobkit.ports.inspection import JobRecord
    from jobkit.ports.planes import StorePlane


def status(
    context: typer.Context,
    id: Annotated[str, typer.Argument(help="The job's id, as `jobkit submit` printed it.")],
    tree: Annotated[bool, typer.Option("--tree", help="Show the groups below it, and their members.")] = False,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Show one job: its state, progress, failed attempts and result."""
    from jobkit.cli.session import CommandSession
    from jobkit.cli.tables import job_fields
    from jobkit.client import found_job
    from jobkit.client.group_progress import with_members
    from jobkit.ops.views import checkpoints_view, holding_up, job_view

    session = CommandSession.begin(context, env_file, as_json=as_json)
    if tree:
        _show_tree(session, id)
        return

    async def ask(plane: StorePlane) -> tuple[JobRecord, Sequence[Pause], Layouts, Sequence[Checkpoint]]:
        job = await with_members(plane.store, await found_job(plane.inspection, id))
        kept = await plane.store.checkpoints(id)
        return job, await plane.store.pauses(), await session.layouts(plane.store), kept

    job, pauses, layouts, kept = session.ask(ask)
    limit = _awaited(session, [job]).get(id)
    pause = holding_up(pauses, job, layouts.of(job.type).partitions)
    if as_json:
        session.out.document({**job_view(job, limit, pause), **checkpoints_view(kept)})
    else:
        session.out.fields(job_fields(job, session.clock.wall(), limit, pause, kept))


def _show_tree(session: CommandSession, id: str) -> None:
    from jobkit.ops.job_tree import JobTree, job_tree, tree_lines, tree_view

    async def ask(plane: StorePlane) -> JobTree:
        return await job_tree(plane.store, plane.inspection, id)

    found = session.ask(ask)
    if session.out.as_json:
        session.out.document(tree_view(found))
        return
    for line in tree_lines(found):
        session.out.text(plain(line))


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

    session = CommandSession.begin(context, env_file, as_json=as_json)

    async def ask(plane: StorePlane) -> tuple[Sequence[JobRecord], Sequence[Pause], Layouts]:
        found = await plane.inspection.jobs(type=type, key=key, state=state, limit=limit)
        return found, await plane.store.pauses(), await session.layouts(plane.store)

    found, pauses, layouts = session.ask(ask)
    limits = _awaited(session, found)
    held = [(job, limits.get(job.id), holding_up(pauses, job, layouts.of(job.type).partitions)) for job in found]
    if as_json:
        session.out.document([job_view(job, waits, pause) for job, waits, pause in held])
        return
    if not found:
        session.out.note("no jobs" if (type, state, key) == (None, None, None) else "no such jobs")
        return
    now = session.clock.wall()
    headings: tuple[str, ...] = JOB_HEADINGS
    rows = [job_row(job, now, waits, pause) for job, waits, pause in held]
    if any(job.unique is not None for job in found):
        headings = (*headings, "UNIQUE")
        rows = [(*row, job.unique or "-") for row, job in zip(rows, found, strict=True)]
    if any(job.group is not None for job in found):
        headings = (*headings, "GROUP")
        rows = [(*row, job.group or "-") for row, job in zip(rows, found, strict=True)]
    session.out.table(headings, rows, whole="ID", right="DONE AGE")
    if len(found) == limit:
        session.out.note(f"the latest {limit} only; --limit shows more")


def _awaited(session: CommandSession, jobs: Sequence[JobRecord]) -> Mapping[str, str]:
    """Return the limit that each job waits for, as far as the coordinator tells: jobs are worth showing without."""
    from jobkit.cli.exit_codes import NoAnswer
    from jobkit.errors import ConfigurationError, Unavailable
    from jobkit.ops.limit_waiters import waits_for

    if all(job.state.ended for job in jobs):
        return {}
    try:
        return session.ask_coordinator(waits_for)
    except (ConfigurationError, NoAnswer, Unavailable) as error:
        session.out.note(f"whether jobs wait for a limit is not known: {error}")
        return {}
