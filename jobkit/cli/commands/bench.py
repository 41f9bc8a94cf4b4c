"""`jobkit bench`: how fast is this machine, with full safety?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.benchmarks import Benchmarks
from jobkit.cli.options import AsJson, EnvFile
from jobkit.lab.servers.store_server import StoreServer

if TYPE_CHECKING:
    from jobkit.cli.output import Output
    from jobkit.cli.session import CommandSession
    from jobkit.lab.bench.report import BenchPlan, BenchReport, Ceilings, Drain, Latency
    from jobkit.ports.planes import Planes


app = typer.Typer(cls=Benchmarks, invoke_without_command=True)


@app.callback()
def bench(
    context: typer.Context,
    jobs: Annotated[int, typer.Option("--jobs", min=100, help="How many no-op jobs to drain.")] = 20_000,
    keys: Annotated[int, typer.Option("--keys", min=1, help="Over how many keys.")] = 10_000,
    workers: Annotated[
        list[int] | None,
        typer.Option("--workers", min=1, max=100, help="By how many processes; repeatable, to compare. Default: 1."),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="How often; medians are shown.")] = 1,
    rate: Annotated[float, typer.Option("--rate", min=1, help="Jobs per second for the latency.")] = 100.0,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="For how long.")] = 10.0,
    leases: Annotated[int, typer.Option("--leases", min=1, help="How many leases to renew in one call.")] = 1_000,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, help="Of each worker process.")] = 256,
    servers: Annotated[
        StoreServer | None,
        typer.Option("--servers", help="Start a private RabbitMQ, Redis and, if named, PostgreSQL, and run on these."),
    ] = None,
    latency: Annotated[
        float,
        typer.Option(
            "--latency", metavar="MS", min=0, help="With --servers: also drain one ordered key at such round trips."
        ),
    ] = 0.0,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Measure worker processes on no-op jobs: publishing, draining, latency, memory and round trips.

    With the name of a plugin that has a benchmark, such as transcode, that one is run, with the options behind it.

    Where JOBKIT_BROKER_URL, JOBKIT_COORDINATOR_URL or JOBKIT_STORE_URL is set, in the environment or an --env-file, it
    runs on the backends configured, and leaves its job types there. Otherwise, and with --servers, it runs on a place
    of its own that is gone afterwards. On RabbitMQ it also measures what plain aio-pika does without any safety.
    """
    if context.invoked_subcommand is not None:
        return
    from jobkit.cli.session import CommandSession
    from jobkit.errors import ConfigurationError
    from jobkit.lab.bench import BenchPlan
    from jobkit.lab.bench.place import place_for

    session = CommandSession.begin(context, env_file, as_json=as_json)
    if latency and servers is None:
        raise ConfigurationError("--latency needs --servers: only private servers are put behind a slow link")
    plan = BenchPlan(jobs, keys, rate, seconds, tuple(dict.fromkeys(workers or [1])), rounds, leases, latency)
    environment = {
        "JOBKIT_CONCURRENCY": str(concurrency),
        "JOBKIT_PREFETCH": str(max(concurrency, session.settings.prefetch)),
        "JOBKIT_PLUGINS": "jobkit.lab.bench.noop",
        "JOBKIT_LOG_LEVEL": "warning",
    }
    with place_for(session.settings, servers) as (settings, variables):
        report = _run(replace(session, settings=settings), plan, environment | variables)
    if as_json:
        session.out.document(asdict(report) | {"targets": [list(line) for line in _compared(report, plan)]})
    else:
        _show(session.out, report, plan)


def _run(session: CommandSession, plan: BenchPlan, environment: dict[str, str]) -> BenchReport:
    from jobkit.client import Client
    from jobkit.lab.bench import Bench
    from jobkit.lab.bench.noop import noop, timed
    from jobkit.lab.bench.processes import ceiling_urls, measure_ceilings
    from jobkit.plugin.registry import Registry

    settings = session.settings

    async def ceilings(jobs: int) -> Ceilings | None:
        urls = ceiling_urls(settings)
        if urls is None:
            return None
        session.out.note("measuring the ceilings")
        return await measure_ceilings(*urls, jobs)

    async def measure(planes: Planes) -> BenchReport:
        client = Client(planes, Registry([noop, timed]), settings, session.clock)
        return await Bench(
            planes, client, settings, session.clock, environment, ceilings=ceilings, tell=session.out.note
        ).run(plan)

    return session.call(measure, limit=None, create=True)


# ---- what is shown ---------------------------------------------------------------------------------------------------


def _show(out: Output, report: BenchReport, plan: BenchPlan) -> None:
    out.fields([("backends", f"{report.broker}, {report.coordinator}, {report.store} (broker, coordinator, store)")])
    out.table(("what", "measured", "beside"), _measured(report, plan), whole="what")
    compared = list(_compared(report, plan))
    if compared:
        out.text("")
        out.table(("target", "reached", "wanted", "met"), compared, whole="target")


def _measured(report: BenchReport, plan: BenchPlan) -> Iterator[tuple[str, str, str]]:
    """Yield each figure, and what it is to be seen beside."""
    first = report.rounds[0]
    yield "publish, with sequences and confirms", f"{report.publish_rate:,.0f} jobs/s", ""
    for workers in plan.workers:
        drains = report.drains(workers)
        by = f"{workers} worker process{'es' if workers > 1 else ''}"
        yield f"drain, {by}", f"{report.drain_rate(workers):,.0f} jobs/s", _per_job(drains)
        yield f"memory, {by}", ", ".join(_memory(drains[0])), f"{drains[0].memory_growth:+.1%} from a quarter on"
    if first.ceilings is not None:
        yield "ceiling: aio-pika publishes with confirms", _median(report, "publish"), _ratio(report, "publish", None)
        for workers in plan.workers[:1]:
            yield "ceiling: aio-pika consumes and acks", _median(report, "consume"), _ratio(report, "consume", workers)
            if first.ceilings.scripted is not None:
                ratio = _ratio(report, "scripted", workers)
                yield "ceiling: and runs two Redis scripts for each", _median(report, "scripted"), ratio
    yield f"submit to start, at {plan.rate:g} jobs/s", _quantiles(report.start), f"{report.start.count} jobs"
    yield f"submit to commit, at {plan.rate:g} jobs/s", _quantiles(report.commit), ""
    trips = "" if report.renewal.round_trips is None else f"{report.renewal.round_trips} round trip(s)"
    hot = report.hot_key
    if hot is not None:
        ratio = f"{hot.for_each_round_trip:.2f} jobs for each round trip"
        yield f"one ordered key, round trips of {hot.milliseconds:g} ms", f"{hot.rate:,.1f} jobs/s", ratio
    yield f"renewal of {report.renewal.leases:,} leases", f"{report.renewal.milliseconds:.1f} ms", trips


def _compared(report: BenchReport, plan: BenchPlan) -> Iterator[tuple[str, str, str, str]]:
    """Yield each target with what was reached."""
    from jobkit.lab.bench import report as target

    def line(what: str, reached: float | None, least: float) -> Iterator[tuple[str, str, str, str]]:
        if reached is not None:
            yield what, f"{reached:.2f}", f"at least {least:g}", _said(reached >= least)

    yield from line("publish, of aio-pika with confirms", report.ratio("publish"), target.PUBLISH_RATIO)
    if report.store in target.DRAIN_RATIO and 1 in plan.workers:
        least = target.DRAIN_RATIO[report.store]
        yield from line("drain, of aio-pika with two scripts", report.ratio("scripted", 1), least)
    few, many = min(plan.workers), max(plan.workers)
    if few < many:
        ratio = report.drain_rate(many) / report.drain_rate(few)
        yield from line(f"drain, {many} processes of {few}", ratio, 1.0)
    hot = None if report.hot_key is None else report.hot_key.for_each_round_trip
    yield from line("one ordered key, jobs for each round trip", hot, target.HOT_KEY_RATIO)
    p99 = report.start.p99
    yield "submit to start, p99", f"{p99:.1f} ms", f"below {target.START_P99_MS:g} ms", _said(p99 < target.START_P99_MS)
    growth = report.drains(plan.workers[0])[0].memory_growth
    yield (
        "memory growth",
        f"{growth:+.1%}",
        f"at most {target.MEMORY_GROWTH:.0%}",
        _said(growth <= target.MEMORY_GROWTH),
    )


def _said(met: bool) -> str:
    return "yes" if met else "NO"


def _median(report: BenchReport, ceiling: str) -> str:
    import statistics

    found = [getattr(round.ceilings, ceiling) for round in report.rounds if round.ceilings is not None]
    return f"{statistics.median(found):,.0f} messages/s"


def _ratio(report: BenchReport, ceiling: str, workers: int | None) -> str:
    ratio = report.ratio(ceiling, workers)
    return "" if ratio is None else f"jobkit reaches {ratio:.2f} of it"


def _quantiles(latency: Latency) -> str:
    return f"p50 {latency.p50:.1f} ms, p90 {latency.p90:.1f} ms, p99 {latency.p99:.1f} ms, max {latency.max:.1f} ms"


def _per_job(drains: list[Drain]) -> str:
    """Return what each job took, over all drains."""
    jobs = sum(drain.jobs for drain in drains)
    parts = [f"{sum(drain.account.cpu_seconds for drain in drains) / jobs * 1e6:.0f} us of processor time"]
    for plane in ("coordinator", "store"):
        trips = [getattr(drain.account, f"{plane}_round_trips") for drain in drains]
        if None not in trips:
            parts.append(f"{sum(trips) / jobs:.3f} {plane} round trips")
    return ", ".join(parts) + " per job"


def _memory(drain: Drain) -> Iterator[str]:
    """Yield the workers' memory at the quarters of the drain."""
    for share in (0.25, 0.5, 0.75, 1.0):
        point = next((point for point in drain.memory if point.committed >= share * drain.jobs), drain.memory[-1])
        yield f"{point.bytes / 1e6:.0f} MB at {point.committed:,}"
