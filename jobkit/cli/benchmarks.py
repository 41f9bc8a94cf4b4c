"""`jobkit bench NAME ...`: the benchmarks of plugins, as commands below `jobkit bench`."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command


class Benchmarks(TyperGroup):
    """The commands below `jobkit bench`: whatever benchmarks are installed, each with options of its own."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  (named by typer)
        """Return the names of the benchmarks."""
        from jobkit.plugin.benchmarks import benchmark_names

        return benchmark_names()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  (named by typer)
        """Return the command of a benchmark, which is given all words behind its name; None where there is none.

        It is loaded as it runs: help and completion ask for all of them, and one may need what is not installed.
        """
        from jobkit.plugin.benchmarks import benchmark_names, load_benchmark

        if cmd_name not in benchmark_names():
            return None
        alone = typer.Typer(add_completion=False)

        @alone.command(
            cmd_name,
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
            add_help_option=False,
            help=f"The benchmark of the plugin {cmd_name}.",
        )
        def run(context: typer.Context) -> None:
            raise typer.Exit(load_benchmark(cmd_name)(context.args))

        return get_command(alone)
