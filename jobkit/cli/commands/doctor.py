"""`jobkit doctor`: looks at everything a worker needs, and says of each what is wrong and what to change.

Settings that are wrong are a finding here, not an error of usage; after them nothing else can be looked at.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from jobkit.cli.exit_codes import ExitCode
from jobkit.cli.options import AsJson, EnvFile
from jobkit.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobkit.cli.output import Output
    from jobkit.cli.session import CommandSession
    from jobkit.ports.diagnosis import Finding

_STYLES = {"ok": "bold green", "warn": "bold yellow", "fail": "bold red", "unreachable": "bold red"}


def doctor(context: typer.Context, as_json: AsJson = False, env_file: EnvFile = None) -> None:
    """Check settings, plugins, clocks, disks and every backend; exit 1 if a check fails, 3 if a backend is away."""
    from jobkit.cli.output import Output
    from jobkit.cli.session import CommandSession
    from jobkit.ports.diagnosis import Finding, Status, failure

    try:
        session = CommandSession.begin(context, env_file, as_json=as_json, log_at_least="error")
    except ConfigurationError as error:
        findings = [replace(failure(error), part="settings")]
    else:
        findings = [Finding(Status.OK, "valid", part="settings"), *_diagnose(session)]
    _report(findings, Output(as_json=as_json))
    found = {finding.status for finding in findings}
    if Status.UNREACHABLE in found:
        raise typer.Exit(ExitCode.UNREACHABLE)
    if Status.FAIL in found:
        raise typer.Exit(ExitCode.FAILED)


def _diagnose(session: CommandSession) -> list[Finding]:
    import anyio

    from jobkit.ops.diagnosis import diagnose

    return anyio.run(diagnose, session.settings, session.clock, session.registry)


def _report(findings: Sequence[Finding], out: Output) -> None:
    if out.as_json:
        from jobkit.ops.views import diagnosis_view

        out.document(diagnosis_view(findings))
        return
    from rich.text import Text

    from jobkit.cli.output import plain
    from jobkit.cli.terminal import terminal

    console = terminal()
    for finding in findings:
        status = "fail" if finding.status == "unreachable" else finding.status.value
        lines = [plain(line) for line in finding.what.splitlines()]
        if finding.change:
            lines.append(f"-> {plain(finding.change)}")
        line = Text(f"{status:<6}", style=_STYLES[finding.status])
        line.append(f"{finding.part:<13}" + f"\n{'':<19}".join(lines), style="none")
        console.print(line, soft_wrap=True)
