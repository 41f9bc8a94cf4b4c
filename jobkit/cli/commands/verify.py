"""`jobkit verify`: is what was committed what should be?"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile, Yes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from jobkit.cli.output import Output
    from jobkit.cli.session import CommandSession
    from jobkit.ops.verify import Repair, Verdict
    from jobkit.ports.planes import Planes
    from jobkit.projections.projection import Projection

    Projections = Mapping[str, Sequence[Projection[Any]]]


def verify(
    context: typer.Context,
    repair: Annotated[
        bool, typer.Option("--repair", help="Do what is safe about the findings, after showing what that is.")
    ] = False,
    yes: Yes = False,
    seconds: Annotated[float, typer.Option("--timeout", min=1, help="Give up after so many seconds.")] = 3600.0,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Read keys, logs, projections, files and queues; report what contradicts the guarantees; exit 1 if any does."""
    from jobkit.cli.session import CommandSession
    from jobkit.ops.verify import plan

    session = CommandSession.begin(context, env_file, as_json=as_json)
    projections = session.registry().projections()
    verdict = _read(session, projections, seconds)
    if repair and (planned := plan(verdict.findings)):
        _show(session.out, verdict, notes=True)
        _repair(session, projections, planned, yes=yes, seconds=seconds)
        verdict = _read(session, projections, seconds)
    _show(session.out, verdict, notes=False)
    if verdict.findings:
        raise typer.Exit(1)


def _read(session: CommandSession, projections: Projections, seconds: float) -> Verdict:
    from jobkit.ops.verify import verify as read_everything

    return session.call(lambda planes: read_everything(planes, projections, session.clock), limit=seconds)


def _repair(
    session: CommandSession, projections: Projections, planned: Sequence[Repair], *, yes: bool, seconds: float
) -> None:
    from jobkit.cli.session import confirm

    for one in planned:
        session.out.note(f"plan: {one.what}")
    confirm(f"Do this ({len(planned)} repairs)?", yes=yes)

    async def carry_all_out(planes: Planes) -> None:
        from jobkit.cli.lease_keeper import lease_keeper
        from jobkit.client.layouts import Layouts
        from jobkit.client.relay import Relay
        from jobkit.ops.verify import carry_out
        from jobkit.projections.rebuild import Rebuilder
        from jobkit.telemetry import Telemetry

        clock = session.clock
        layouts = Layouts(planes.store, session.settings.partitions, clock)
        relay = Relay(planes.store, planes.broker, layouts=layouts, clock=clock, telemetry=Telemetry())
        async with lease_keeper(planes, session) as keeper:
            rebuilder = Rebuilder(planes, keeper, clock, from_start=True)
            for one in planned:
                done = await carry_out(one, planes, rebuilder, relay, projections)
                session.out.note(f"{one.what}: {done}")

    session.call(carry_all_out, limit=seconds)


def _show(out: Output, verdict: Verdict, *, notes: bool) -> None:
    """Print the verdict; with `notes`, as words about what follows, on stderr."""
    if notes:
        for found in verdict.findings:
            out.note(f"{found.invariant}: {found.where}: {found.problem}")
        return
    if out.as_json:
        out.document(asdict(verdict))
        return
    if verdict.findings:
        rows = [
            (found.invariant, found.where, "-" if found.repair is None else found.repair.action.value, found.problem)
            for found in verdict.findings
        ]
        out.table(("INVARIANT", "WHERE", "REPAIR", "PROBLEM"), rows, whole="PROBLEM")
    for what in verdict.unread:
        out.note(f"not read: {what}")
    for name, place in verdict.places.items():
        if place.jobs and place.ids:
            out.note(f"{name}: {place.jobs} ({place})")
    read = f"read {verdict.keys} keys, {verdict.entries} log entries, {verdict.blobs} files"
    out.text(f"{read}: {_summary(len(verdict.findings))}")
    if any(found.repair is not None for found in verdict.findings):
        out.note("`jobkit verify --repair` does what REPAIR names, after asking")


def _summary(findings: int) -> str:
    return "nothing wrong" if not findings else f"{findings} finding{'s' if findings > 1 else ''}"
