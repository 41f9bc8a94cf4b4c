"""`jobkit verify`: is what was committed what should be?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile


def verify(
    context: typer.Context,
    seconds: Annotated[float, typer.Option("--timeout", min=1, help="Give up after so many seconds.")] = 3600.0,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Read keys, logs, projections and files, and report what contradicts the guarantees; exit 1 if anything does."""
    from jobkit.cli.session import Session
    from jobkit.verify import verify as read_everything

    session = Session.begin(context, env_file, as_json=as_json)
    projections = session.registry().projections()
    verdict = session.call(lambda planes: read_everything(planes, projections), limit=seconds)
    if as_json:
        session.out.document(asdict(verdict))
    else:
        if verdict.findings:
            rows = [(found.invariant, found.where, found.problem) for found in verdict.findings]
            session.out.table(("INVARIANT", "WHERE", "PROBLEM"), rows, whole="PROBLEM")
        read = f"read {verdict.keys} keys, {verdict.entries} log entries, {verdict.blobs} files"
        session.out.text(f"{read}: {_summary(len(verdict.findings))}")
    if verdict.findings:
        raise typer.Exit(1)


def _summary(findings: int) -> str:
    return "nothing wrong" if not findings else f"{findings} finding{'s' if findings > 1 else ''}"
