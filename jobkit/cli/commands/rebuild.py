"""`jobkit rebuild`: make projections anew from the log, while workers run."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobkit.cli.exit_codes import ExitCode
from jobkit.cli.options import AsJson, EnvFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobkit.cli.session import CommandSession
    from jobkit.ports.planes import Planes
    from jobkit.projections.projection import Projection
    from jobkit.projections.rebuild import Rebuilt

_SHOWN = ("differs", "rebuilt", "busy", "failed")


def rebuild(
    context: typer.Context,
    types: Annotated[list[str] | None, typer.Argument(help="Job types; all that have projections by default.")] = None,
    projection: Annotated[str | None, typer.Option("--projection", help="Only the projection of this name.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Only this key.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 where something differs.")] = False,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Add up each log from its first entry: believe no snapshot.")
    ] = False,
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="How many seconds to wait for a key on which a job runs.")
    ] = 60.0,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Compare projections with their logs and rebuild those that differ; exit 1 where one could not be."""
    from jobkit.cli.session import CommandSession

    session = CommandSession.begin(context, env_file, as_json=as_json)
    wanted = _wanted(session, types or [], projection)

    async def run(planes: Planes) -> list[Rebuilt]:
        return await _rebuild(planes, session, wanted, key, check=check, from_start=from_start, wait=wait)

    found = session.call(run, limit=None)
    if as_json:
        session.out.document([asdict(one) for one in found])
    else:
        _show(session, found)
    bad = ("differs", "busy", "failed")
    if any(one.outcome in bad for one in found):
        raise typer.Exit(ExitCode.FAILED)


def _wanted(session: CommandSession, types: Sequence[str], name: str | None) -> dict[str, list[Projection[Any]]]:
    """Return the projections asked for, by type. Raises `ConfigurationError` where there are none."""
    from jobkit.errors import ConfigurationError

    registry = session.registry()
    chosen = types or registry.kept()
    wanted = {
        type: [one for one in registry.projections_of(type) if name in (None, one.name)]
        for type in dict.fromkeys(chosen)
    }
    found = {type: projections for type, projections in wanted.items() if projections}
    if not found:
        there = ", ".join(f"{type}:{one.name}" for type, all in registry.projections().items() for one in all)
        called = f" called {name!r}" if name else ""
        raise ConfigurationError(
            f"no projection{called} is declared by {', '.join(chosen) or 'any plugin'}; there are: {there or 'none'}"
        )
    return found


async def _rebuild(
    planes: Planes,
    session: CommandSession,
    wanted: Mapping[str, Sequence[Projection[Any]]],
    key: str | None,
    *,
    check: bool,
    from_start: bool,
    wait: float,
) -> list[Rebuilt]:
    from jobkit.cli.lease_keeper import lease_keeper
    from jobkit.projections.rebuild import Rebuilder

    found: list[Rebuilt] = []
    async with lease_keeper(planes, session) as keeper:
        rebuilder = Rebuilder(planes, keeper, session.clock, from_start=from_start, patience=wait)
        for type, projections in wanted.items():
            found += [one async for one in rebuilder.run(type, projections, key=key, write=not check)]
    return found


def _show(session: CommandSession, found: Sequence[Rebuilt]) -> None:
    rows = [
        (one.outcome.value, one.type, one.projection, str(one.entries), f"{one.key}  {one.problem}".strip())
        for one in found
        if one.outcome in _SHOWN
    ]
    if rows:
        session.out.table(("OUTCOME", "TYPE", "PROJECTION", "ENTRIES", "KEY"), rows, whole="KEY", right="ENTRIES")
    counts = Counter(one.outcome.value for one in found)
    said = ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))
    session.out.text(f"compared {len(found)} with their logs: {said}" if found else "no such key is known")
