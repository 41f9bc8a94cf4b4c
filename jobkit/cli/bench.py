"""`jobkit bench`: how fast is this machine, with full safety?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile

if TYPE_CHECKING:
    from jobkit.bench import Report
    from jobkit.cli.output import Output
    from jobkit.cli.session import Session


def bench(
    context: typer.Context,
    jobs: Annotated[int, typer.Option("--jobs", min=100, help="How many no-op jobs to drain.")] = 20_000,
    keys: Annotated[int, typer.Option("--keys", min=1, help="Over how many keys.")] = 10_000,
    rate: Annotated[float, typer.Option("--rate", min=1, help="Jobs per second for the latency.")] = 100.0,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="For how long.")] = 10.0,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, help="Of the worker process.")] = 256,
    here: Annotated[
        bool, typer.Option("--here", help="Use the backends that are configured, not a database of its own.")
    ] = False,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Measure one worker process on no-op jobs: jobs per second, latency from submit to commit, memory."""
    from jobkit.bench import Plan
    from jobkit.cli.session import Session

    session = Session.begin(context, env_file, as_json=as_json)
    place = nullcontext(None) if here else tempfile.TemporaryDirectory(prefix="jobkit-bench-")
    with place as directory:
        environment = {
            "JOBKIT_CONCURRENCY": str(concurrency),
            "JOBKIT_PREFETCH": str(max(concurrency, session.settings.prefetch)),
            "JOBKIT_PLUGINS": "jobkit.bench.noop",
            "JOBKIT_LOG_LEVEL": "warning",
        }
        if directory is not None:
            session, own = _moved(session, Path(directory))
            environment |= own
        report = _run(session, Plan(jobs, keys, rate, seconds), environment)
    if as_json:
        session.out.document(asdict(report))
    else:
        _show(session.out, report)


def _moved(session: Session, directory: Path) -> tuple[Session, dict[str, str]]:
    """Return the session on a database of its own, and the variables that put a worker process there."""
    from pydantic import SecretStr

    urls = dict.fromkeys(("broker_url", "coordinator_url", "store_url"), f"sqlite:///{directory / 'bench.db'}") | {
        "blobs_url": f"file://{directory / 'blobs'}"
    }
    settings = session.settings.model_copy(update={name: SecretStr(url) for name, url in urls.items()})
    return replace(session, settings=settings), {f"JOBKIT_{name.upper()}": url for name, url in urls.items()}


def _run(session: Session, plan: object, environment: dict[str, str]) -> Report:
    from jobkit.bench import Plan, run_bench
    from jobkit.bench.noop import noop
    from jobkit.client import Client
    from jobkit.plugins import Registry
    from jobkit.ports.planes import Planes

    assert isinstance(plan, Plan)  # noqa: S101  (a lazily imported type)
    tell: Callable[[str], None] = session.out.note

    async def measure(planes: Planes) -> Report:
        client = Client(planes, Registry([noop]), session.settings, session.clock)
        return await run_bench(planes, client, session.clock, plan, environment, tell)

    return session.call(measure, limit=None)


def _show(out: Output, report: Report) -> None:
    latency = report.latency
    out.fields(
        [
            ("published", f"{report.publish_rate:,.0f} jobs/s"),
            ("drained", f"{report.drain_rate:,.0f} jobs/s by one worker process ({report.drain_seconds:.1f} s)"),
            (
                "latency",
                f"p50 {latency.p50:.1f} ms, p90 {latency.p90:.1f} ms, p99 {latency.p99:.1f} ms, "
                f"max {latency.max:.1f} ms (submit to commit, {latency.count} jobs)",
            ),
            ("memory", ", ".join(_memory(report))),
            ("growth", f"{report.memory_growth:+.1%} from a quarter of the drain to its end"),
        ]
    )


def _memory(report: Report) -> list[str]:
    """Return the worker's memory at the quarters of the drain."""
    shown = []
    for share in (0.25, 0.5, 0.75, 1.0):
        point = next((point for point in report.memory if point.committed >= share * report.jobs), report.memory[-1])
        shown.append(f"{point.bytes / 1e6:.0f} MB at {point.committed:,}")
    return shown
