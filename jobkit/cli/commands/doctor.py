"""`jobkit doctor`: looks at everything a worker needs, and says of each what is wrong and what to change.

Settings that are wrong are a finding here, not an error of usage; after them nothing else can be looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from jobkit.cli.exit_codes import ExitCode
from jobkit.cli.options import AsJson, EnvFile
from jobkit.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobkit.cli.output import Output
    from jobkit.cli.session import CommandSession
    from jobkit.ops.diagnosis.finding import Finding

_STYLES = {"ok": "bold green", "warn": "bold yellow", "fail": "bold red", "unreachable": "bold red"}


def doctor(context: typer.Context, as_json: AsJson = False, env_file: EnvFile = None) -> None:
    """Check settings, plugins, clocks, disks and every backend; exit 1 if a check fails, 3 if a backend is away."""
    from jobkit.cli.output import Output
    from jobkit.cli.session import CommandSession
    from jobkit.ops.diagnosis.finding import Finding, Status, failed

    try:
        session = CommandSession.begin(context, env_file, as_json=as_json, log_at_least="error")
    except ConfigurationError as error:
        findings = [failed("settings", error)]
    else:
        findings = [Finding("settings", Status.OK, "valid"), *_examined(session)]
    _report(findings, Output(as_json=as_json))
    found = {finding.status for finding in findings}
    if Status.UNREACHABLE in found:
        raise typer.Exit(ExitCode.UNREACHABLE)
    if Status.FAIL in found:
        raise typer.Exit(ExitCode.FAILED)


def _examined(session: CommandSession) -> list[Finding]:
    import anyio

    from jobkit.ops.diagnosis import checks

    async def look() -> list[Finding]:
        from jobkit.ops.diagnosis.backends import diagnose_backends
        from jobkit.ops.diagnosis.probes import probe_planes

        findings = await checks.check_plugins(session.registry)
        examinations = await diagnose_backends(session.settings, session.clock)
        findings += checks.backend_findings(examinations)
        return findings + await probe_planes(session.settings, session.clock, checks.suspect_planes(examinations))

    return [*checks.check_versions(), *checks.check_clock(session.clock), *anyio.run(look)]


def _report(findings: Sequence[Finding], out: Output) -> None:
    if out.as_json:
        from dataclasses import asdict

        bad = ("fail", "unreachable")
        healthy = not any(finding.status in bad for finding in findings)
        out.document({"healthy": healthy, "checks": [asdict(finding) for finding in findings]})
        return
    from rich.text import Text

    from jobkit.cli.output import plain, terminal

    console = terminal()
    for finding in findings:
        status = "fail" if finding.status == "unreachable" else finding.status.value
        lines = [plain(line) for line in finding.what.splitlines()]
        if finding.change:
            lines.append(f"-> {finding.change}")
        line = Text(f"{status:<6}", style=_STYLES[finding.status])
        line.append(f"{finding.part:<13}" + f"\n{'':<19}".join(lines), style="none")
        console.print(line, soft_wrap=True)
