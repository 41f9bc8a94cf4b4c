"""`jobkit gaps`: ordered keys that stand still because a job before them is missing or dead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile, Yes
from jobkit.errors import ConfigurationError, JobkitError
from jobkit.model.sequence import MAX_SEQUENCE

if TYPE_CHECKING:
    from jobkit.ports.inspection import Inspection, ParkedKey

app = typer.Typer(no_args_is_help=True, help="Show and mend ordered keys that stand still.")

Type = Annotated[str, typer.Argument(help="The job type.")]
Key = Annotated[str, typer.Argument(help="The key that stands still.")]


@app.command("list")
def list_(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many to show at most.")] = 100,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """List the keys that stand still, those first that have for longest."""
    from jobkit.cli.session import CommandSession
    from jobkit.cli.tables import GAP_HEADINGS, gap_row
    from jobkit.ops.views import gap_view

    session = CommandSession.begin(context, env_file, as_json=as_json)
    found, more = session.ask(lambda plane: _first(plane.inspection, limit))
    if as_json:
        session.out.document([gap_view(gap) for gap in found])
        return
    if not found:
        session.out.note("no key stands still")
        return
    now = session.clock.wall()
    rows = [gap_row(gap, now) for gap in found]
    session.out.table(GAP_HEADINGS, rows, whole="KEY", right="PARKED SINCE")
    if more:
        session.out.note(f"the first {limit} by their names only; --limit shows more")


@app.command()
def resume(context: typer.Context, type: Type, key: Key, as_json: AsJson = False, env_file: EnvFile = None) -> None:
    """Try the parked jobs of a key again, in order; nothing is given up."""
    from jobkit.cli.session import CommandSession

    session = CommandSession.begin(context, env_file, as_json=as_json)
    resumed = session.ask(lambda plane: _resume(plane.inspection, type, key))
    if as_json:
        session.out.document({"type": type, "key": key, "resumed": resumed})
    else:
        session.out.note(f"{_jobs(resumed)} of {type}/{key} will be tried again")


@app.command()
def skip(
    context: typer.Context,
    type: Type,
    key: Key,
    before: Annotated[
        int,
        typer.Option(
            "--before", min=1, max=MAX_SEQUENCE, help="Give up what is missing before this sequence; go on with it."
        ),
    ],
    yes: Yes = False,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Give up the missing jobs of a key and go on after them. One that still comes is dead-lettered."""
    from jobkit.cli.session import CommandSession, confirm

    session = CommandSession.begin(context, env_file, as_json=as_json)
    gap = session.ask(lambda plane: _standing_still(plane.inspection, type, key))
    if before <= gap.expected:
        raise ConfigurationError(f"--before {before} gives nothing up: {type}/{key} waits for sequence {gap.expected}")
    given_up = f"sequence {gap.expected}" if before == gap.expected + 1 else f"sequences {gap.expected} to {before - 1}"
    confirm(f"Give up {given_up} of {type}/{key} for good?", yes=yes)
    resumed = session.ask(lambda plane: _skip(plane.inspection, type, key, before))
    if as_json:
        session.out.document({"type": type, "key": key, "before": before, "resumed": resumed})
    else:
        session.out.note(f"{type}/{key} goes on with sequence {before}; {_jobs(resumed)} resumed")


async def _first(inspection: Inspection, limit: int) -> tuple[list[ParkedKey], bool]:
    """Return the first keys by their names, those that stand still for longest first, and whether there are more."""
    from jobkit.ops.standing_still import standing_still

    found: list[ParkedKey] = []
    more = False
    async for gap in standing_still(inspection):
        if len(found) == limit:
            more = True
            break
        found.append(gap)
    return sorted(found, key=lambda gap: (gap.since, gap.type, gap.key)), more


async def _standing_still(inspection: Inspection, type: str, key: str) -> ParkedKey:
    """Return the key's gap. Raises `JobkitError` where it has none: skipping on a mistyped key would harm it."""
    gap = await inspection.gap(type, key)
    if gap is not None:
        return gap
    raise JobkitError(f"{type}/{key} does not stand still; `jobkit gaps list` shows which keys do")


async def _resume(inspection: Inspection, type: str, key: str) -> int:
    await _standing_still(inspection, type, key)
    return await inspection.resume_gap(type, key)


async def _skip(inspection: Inspection, type: str, key: str, before: int) -> int:
    try:
        return await inspection.skip_gap(type, key, before=before)
    except ValueError as error:
        raise ConfigurationError(f"--before {before}: {error}") from error


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"
