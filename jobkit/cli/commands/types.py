"""`jobkit types`: what workers have published of their job types, for programs without their code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from jobkit.cli.options import AsJson, EnvFile

if TYPE_CHECKING:
    from jobkit.cli.session import CommandSession
    from jobkit.plugin.type_definition import TypeDefinition

app = typer.Typer(no_args_is_help=True, help="Show and export the job types that workers have published.")

Type = Annotated[str, typer.Argument(help="The job type.")]


@app.command("list")
def list_(context: typer.Context, as_json: AsJson = False, env_file: EnvFile = None) -> None:
    """List all published job types, with what they take and return."""
    from jobkit.cli.session import CommandSession
    from jobkit.cli.tables import TYPE_HEADINGS, type_row
    from jobkit.ops.views import type_view

    session = CommandSession.begin(context, env_file, as_json=as_json)
    found = _published(session)
    if as_json:
        session.out.document([type_view(type) for type in found])
    elif not found:
        session.out.note("no worker has published a type yet: it does as it starts")
    else:
        now = session.clock.wall()
        session.out.table(TYPE_HEADINGS, [type_row(type, now) for type in found], whole="TYPE")


@app.command()
def show(context: typer.Context, type: Type, as_json: AsJson = False, env_file: EnvFile = None) -> None:
    """Show one job type: its fields, and what it returns."""
    from jobkit.cli.session import CommandSession
    from jobkit.cli.tables import type_fields
    from jobkit.ops.views import type_view

    session = CommandSession.begin(context, env_file, as_json=as_json)
    found = _find(session, type)
    if as_json:
        session.out.document(type_view(found))
    else:
        session.out.fields(type_fields(found, session.clock.wall()))


@app.command()
def export(
    context: typer.Context,
    type: Type,
    result: Annotated[bool, typer.Option("--result", help="Of what it returns, instead of what it takes.")] = False,
    as_json: AsJson = False,
    env_file: EnvFile = None,
) -> None:
    """Print the JSON Schema of a job type's payload, for any tool that takes one."""
    from jobkit.cli.session import CommandSession

    session = CommandSession.begin(context, env_file, as_json=as_json)
    found = _find(session, type)
    session.out.text(json.dumps(found.result if result else found.payload, indent=2, ensure_ascii=not as_json))


def _published(session: CommandSession, name: str | None = None) -> list[TypeDefinition]:
    from jobkit.plugin.type_definition import definition_in

    names = None if name is None else [name]
    return [definition_in(type) for type in session.ask(lambda plane: plane.inspection.types(names))]


def _find(session: CommandSession, name: str) -> TypeDefinition:
    """Return one type. Raises `UnknownType` where no worker has published it."""
    from jobkit.errors import UnknownType

    if found := _published(session, name):
        return found[0]
    raise UnknownType(f"no worker has published a job type {name!r}; list them with: jobkit types list")
