"""`jobkit drill`: the incident, replayed on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.exit_codes import ExitCode
from jobkit.cli.options import AsJson, EnvFile

if TYPE_CHECKING:
    from jobkit.cli.output import Output
    from jobkit.lab.drill import DrillReport

_SHOWN = 10


def drill(
    context: typer.Context,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="On SQLite, where there is no network: processes are paused instead.")
    ] = False,
    broken: Annotated[
        str | None,
        typer.Option(
            "--broken",
            metavar="fencing|sequence|dedup|release|watch",
            help="Without this protection, to see what it is there for.",
        ),
    ] = None,
    lose: Annotated[
        str | None,
        typer.Option(
            "--lose",
            metavar="broker|coordinator|region",
            help="Lose this with all its data, in place of the incident's own troubles.",
        ),
    ] = None,
    rate: Annotated[float, typer.Option("--rate", min=1, help="Events of upload sessions per second.")] = 20.0,
    scale: Annotated[float, typer.Option("--scale", min=0.1, help="Lengthens the quiet phases.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="Which sessions there are.")] = 1,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="PATH", help="Write the report as a page. Replaces JOBKIT_DRILL_REPORT."),
    ] = None,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Replay the incident: two regions, slow and flapping links, a partition, a paused leader; exit 1 if it hurt.

    Starts servers and workers of its own; the backends that are configured are not touched. Of the settings, those of
    leases are used.
    """
    from jobkit.cli.session import CommandSession
    from jobkit.errors import ConfigurationError

    try:
        from jobkit.lab.drill import DrillPlan, Loss, Protection, render, run_drill
    except ModuleNotFoundError as error:
        raise ConfigurationError("the drill needs the extras rabbitmq, redis, postgres and lab") from error

    session = CommandSession.begin(context, env_file, as_json=as_json)
    if broken is not None and broken not in list(Protection):
        raise ConfigurationError(f"--broken {broken}: choose one of {', '.join(Protection)}")
    if lose is not None and lose not in list(Loss):
        raise ConfigurationError(f"--lose {lose}: choose one of {', '.join(Loss)}")
    if lose is not None and lose != Loss.REGION and embedded:
        raise ConfigurationError(f"--lose {lose}: with --embedded all is in one file, of which nothing is lost alone")
    html = html or session.settings.drill_report
    if html is not None and not html.absolute().parent.is_dir():
        raise ConfigurationError(f"--html {html}: there is no directory {html.absolute().parent}")
    plan = DrillPlan(
        embedded,
        None if broken is None else Protection(broken),
        rate,
        scale,
        seed,
        None if lose is None else Loss(lose),
    )

    async def carry_out() -> DrillReport:
        return await run_drill(plan, session.settings, session.clock, session.out.note)

    import anyio

    report = anyio.run(carry_out)
    if html is not None:
        html.write_text(render(report))
        session.out.note(f"the report is at {html}")
    if as_json:
        session.out.document(json.loads(json.dumps(report.document())))
    else:
        _show(session.out, report)
    if not report.holds:
        raise typer.Exit(ExitCode.FAILED)


def _show(out: Output, report: DrillReport) -> None:
    from jobkit.lab.drill import comparison, verdict

    rows = [(line.name, line.then, line.now) for line in comparison(report)]
    out.table(("", "INCIDENT", "THIS DRILL"), rows, whole="THIS DRILL", right="INCIDENT THIS DRILL")
    out.text("")
    for found in report.judgement.violations[:_SHOWN]:
        out.text(f"{found.invariant}: {found.where}: {found.what}")
    if len(report.judgement.violations) > _SHOWN:
        out.text(f"and {len(report.judgement.violations) - _SHOWN} more")
    if not report.drained:
        out.text("nothing-lost: the backlog did not drain by itself")
    out.text(verdict(report))
