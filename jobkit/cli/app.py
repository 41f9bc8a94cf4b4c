"""The `jobkit` command: options that come before a command's name, and the commands there are.

Modules named here import nothing heavy at their top, so that `jobkit --help` and completion answer at once.
"""

from __future__ import annotations

import gc
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from jobkit.cli.commands import (
    bench,
    bench_worker,
    cancel,
    config,
    dead,
    dev,
    doctor,
    drill,
    exporter,
    files,
    gaps,
    health,
    jobs,
    leases,
    limits,
    migrate,
    new_plugin,
    pauses,
    priority,
    rebuild,
    republish,
    schedules,
    state,
    submit,
    sweep,
    topology,
    types,
    verify,
    web,
    why,
    worker,
    workers,
)
from jobkit.cli.exit_codes import explained
from jobkit.cli.options import EnvFile, Globals


class _Jobkit(TyperGroup):
    """The outermost command, within which every error is explained."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for argument in args:
            # A file may have any name that the system allows.
            if not argument.startswith("@") and not _is_utf8(argument):
                raise typer.BadParameter(f"this is not UTF-8 text: {argument!a}")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        # What the callback below was told is only known once it has run, within the block.
        with explained(debug=bool(ctx.params.get("debug"))):
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Jobkit,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Jobs that must happen once and in order.",
    epilog="Exit codes: 0 done, 1 the job or check failed, 2 usage or settings, 3 a backend is out of reach.",
)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _print_version(wanted: bool) -> None:
    if wanted:
        from jobkit.distribution import installed_version

        typer.echo(f"jobkit {installed_version()}")
        raise typer.Exit


@app.callback()
def _before(
    context: typer.Context,
    env_file: EnvFile = None,
    debug: Annotated[bool, typer.Option("--debug", help="Log everything, and show tracebacks.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    context.obj = Globals(env_files=tuple(env_file or ()), debug=debug)


app.command("worker")(worker.worker)
app.command("submit")(submit.submit)
app.command("status")(jobs.status)
app.command("jobs")(jobs.jobs)
app.command("why")(why.why)
app.command("cancel")(cancel.cancel)
app.command("priority")(priority.priority)
app.command("pause")(pauses.pause)
app.command("resume")(pauses.resume)
app.command("pauses")(pauses.pauses)
app.command("leases")(leases.leases)
app.command("limits")(limits.limits)
app.add_typer(workers.app, name="workers")
app.add_typer(dead.app, name="dead")
app.add_typer(gaps.app, name="gaps")
app.add_typer(schedules.app, name="schedules")
app.add_typer(types.app, name="types")
app.add_typer(files.app, name="files")
app.command("republish")(republish.republish)
app.add_typer(config.app, name="config")
app.command("migrate")(migrate.migrate)
app.command("topology")(topology.topology)
app.command("state")(state.state)
app.command("rebuild")(rebuild.rebuild)
app.command("verify")(verify.verify)
app.command("sweep")(sweep.sweep)
app.command("doctor")(doctor.doctor)
app.command("dev")(dev.dev)
app.command("web")(web.web)
app.command("health")(health.health)
app.command("exporter")(exporter.exporter)
app.add_typer(bench.app, name="bench")
app.command("drill")(drill.drill)
app.command("bench-worker", hidden=True)(bench_worker.bench_worker)
app.command("new-plugin")(new_plugin.new_plugin)


def main() -> None:
    """Run the command line of this process, and exit."""
    for stream in (sys.stdout, sys.stderr):
        # A key may hold characters that the terminal's encoding has not; that must not end a command half-way.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    # Plugins named in JOBKIT_PLUGINS may lie where the command is run. Last, so that they hide no installed module.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        app(prog_name="jobkit")
    finally:
        # One more Ctrl-C while the process ends must not turn its exit code into that of a killed one.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Nor need the interpreter look for garbage in all that was loaded: up to a tenth of a command's time.
        gc.disable()
