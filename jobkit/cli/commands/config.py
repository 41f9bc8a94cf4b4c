"""`jobkit config`: which settings are in effect, which there are, and which names the Python package has."""

from __future__ import annotations

import typer

from jobkit.cli.options import AsJson, EnvFile, globals_of

app = typer.Typer(no_args_is_help=True, help="Show the settings in effect, or all there are.")


@app.command()
def show(context: typer.Context, as_json: AsJson = False, env_file: EnvFile = None) -> None:
    """Show every setting in effect and what set it. Passwords are masked."""
    from dataclasses import asdict

    from jobkit.cli.output import Output
    from jobkit.cli.settings_reference import effective, sources, text_of
    from jobkit.settings import load_settings

    files = (*globals_of(context).env_files, *(env_file or ()))
    found = sources(files)
    settings = effective(load_settings(files), found)
    out = Output(as_json=as_json)
    if as_json:
        out.document([asdict(setting) for setting in settings])
        return
    rows = [(setting.variable, text_of(setting.value), setting.source) for setting in settings]
    out.table(("VARIABLE", "VALUE", "SOURCE"), rows, whole="VALUE")


@app.command()
def reference() -> None:
    """Print the reference of all settings as Markdown; docs/settings.md is this."""
    from jobkit.cli.settings_reference import reference as markdown

    typer.echo(markdown(), nl=False)


@app.command(hidden=True)
def api() -> None:
    """Print the reference of all public names of the Python package as Markdown; docs/reference.md is this."""
    from jobkit.cli.api_reference import reference as markdown

    typer.echo(markdown(), nl=False)
